"""Whatever workers and agents do, and in whatever order, each query that was accepted ends exactly once."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from synapse.policies import Fixed, Policies
from tests.support.workshop import WorkerPeer, Workshop

NAMES = ["spell", "count"]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["come", "go", "ask", "ask", "ask", "stop", "think", "done", "fail", "wait", "nonsense"]),
        st.integers(0, 7),
    ),
    max_size=60,
)


class Play:
    """Some agents and workers, and what they have heard."""

    def __init__(self, limit: int, max_waiting: int) -> None:
        self.shop = Workshop(pool={"max_waiting": max_waiting}, policies=Policies(concurrency=Fixed(limit)))
        self.ada = self.shop.agent("ada")
        self.workers: list[WorkerPeer] = []
        self.most: dict[WorkerPeer, int] = {}
        self.jobs: dict[WorkerPeer, list[str]] = {}
        self.asked = 0
        self.endings: Counter[str] = Counter()

    def act(self, what: str, which: int) -> None:
        """Do one thing, if there is somebody to do it."""
        if what == "come":
            worker = self.shop.worker(NAMES[which % 2], concurrency=1 + which % 3)
            self.workers.append(worker)
            self.most[worker], self.jobs[worker] = 1 + which % 3, []
        elif what == "ask":
            self.asked += 1
            self.ada.query(f"q{self.asked}", handler=f"worker:{NAMES[which % 2]}", timeout=2000)
        elif what == "stop":
            self.ada.send("interrupt", {"ref": f"q{self.asked - which}"})
        elif what == "wait":
            self.shop.settle(which / 4)
        elif self.workers:
            self._work(what, self.workers[which % len(self.workers)], which)
        self._listen()

    def _work(self, what: str, worker: WorkerPeer, which: int) -> None:
        if what == "go":
            self.workers.remove(worker)
            worker.peer.disconnect()
            return
        jobs = self.jobs[worker]
        job = jobs[which % len(jobs)] if jobs and what != "nonsense" else "no such job"
        if what in ("think", "nonsense"):
            worker.think(job, "hm")
        else:
            worker.done(job, {"reason": "…"}, "error" if what == "fail" else "success")
            jobs.remove(job) if job in jobs else None

    def _listen(self) -> None:
        for worker in self.workers:
            self.jobs[worker] += [frame.payload["job"] for frame in worker.given() if frame.event == "work"]
            assert len(self.jobs[worker]) <= self.most[worker], "given more than it takes"
        for event, payload in self.ada.heard():
            if event in ("result", "interrupted"):
                self.endings[payload["ref"]] += 1
            elif event == "thought":
                assert payload["ref"] not in self.endings, "a thought after the ending"


@given(steps=STEPS, limit=st.integers(1, 5), max_waiting=st.integers(0, 3))
def test_each_query_ends_once_and_nothing_is_left(steps: list[tuple[str, int]], limit: int, max_waiting: int) -> None:
    play = Play(limit, max_waiting)
    for step in steps:
        play.act(*step)
    play.act("wait", 12)  # longer than any query may take
    scheduler = play.shop.cortex.schedulers
    assert play.endings == Counter({f"q{number}": 1 for number in range(1, play.asked + 1)})
    assert (scheduler.running, scheduler.waiting, len(play.shop.cortex.interrupts)) == (0, 0, 0)
    assert all(play.shop.pool.waiting(name) == 0 for name in NAMES)
    for worker in play.workers:
        worker.peer.disconnect()
    assert play.shop.pool.workers() == {}


def test_the_law_can_be_broken() -> None:
    """The test above sees a pool that loses a query: one whose `left` forgets to say so."""
    play = Play(5, 3)
    pool: Any = play.shop.pool
    pool._fail = lambda job, data: None
    for step in (("come", 0), ("ask", 0), ("go", 0)):
        play.act(*step)
    assert play.endings == Counter()
