"""The herd: all clients of a node that is gone try to connect to another, which accepts so many a second.

How long it takes, and how many tries, is for the clients' policy to decide: any retry policy of `synapse.policies`.
"""

from __future__ import annotations

from array import array
from collections import Counter, deque
from collections.abc import Callable
from math import ceil

from synapse.policies import RetryPolicy
from synapse.simulation.env import Environment


class AcceptQueue:
    """What a listening socket does: it lets so many connections wait, refuses others, and accepts one after the other.

    A refusal is heard of at once. (By default Linux drops the SYN instead, and the client's kernel tries again after
    1 s, 3 s, 7 s: a backoff without jitter that no policy of ours reaches.)

    Parameters
    ----------
    env
        The clock.
    rate
        How many are accepted, in 1/s.
    backlog
        How many may wait, the one that is being accepted included.

    Attributes
    ----------
    refused : int
        Connections for which there was no room.

    Raises
    ------
    ValueError
        If the rate is not above 0, or the backlog below 1.
    """

    __slots__ = ("_env", "_period", "_waiting", "backlog", "refused")

    def __init__(self, env: Environment, rate: float = 1000.0, backlog: int = 128) -> None:
        if not rate > 0:
            raise ValueError(f"rate must be above 0, in 1/s; not {rate}")
        if backlog < 1:
            raise ValueError(f"backlog must be at least 1; not {backlog}")
        self._env = env
        self._period = 1.0 / rate
        self._waiting: deque[Callable[[], object]] = deque()
        self.backlog = backlog
        self.refused = 0

    def __repr__(self) -> str:
        return f"<AcceptQueue, {len(self)} of {self.backlog} waiting, {self.refused} refused>"

    def __len__(self) -> int:
        return len(self._waiting)

    def connect(self, accepted: Callable[[], object]) -> bool:
        """Try to connect. Returns whether there was room; if so, calls back when it is accepted."""
        waiting = self._waiting
        if len(waiting) >= self.backlog:
            self.refused += 1
            return False
        waiting.append(accepted)
        if len(waiting) == 1:
            self._env.call(self._period, self._accept, None)
        return True

    def _accept(self, _: None) -> None:
        accepted = self._waiting.popleft()
        if self._waiting:
            self._env.call(self._period, self._accept, None)
        accepted()


class Herd:
    """Clients who have all lost their connection, and try to connect until they are accepted.

    Each notices after up to `notice` seconds, waits as its policy says for a first failure, and tries.

    Parameters
    ----------
    env
        The clock.
    queue
        Where they try to connect.
    policy
        When each tries (again).
    clients
        How many there are.
    draw
        Gives a client, by its number, its next random number from [0, 1): ``variates.rows("herd", clients).draw``, say.
    notice
        Within how long all have noticed, in s, each after a time from 0 to that.

    Attributes
    ----------
    tries, connected : array of float
        When they have tried, and when they were accepted, in s from the beginning, in order.
    gave_up : int
        Clients who will not try any more.
    """

    __slots__ = ("_attempts", "_began", "_draw", "_env", "_queue", "_states", "connected", "gave_up", "tries")

    def __init__(
        self,
        env: Environment,
        queue: AcceptQueue,
        policy: RetryPolicy,
        clients: int,
        draw: Callable[[int], float],
        notice: float = 0.05,
    ) -> None:
        self._env = env
        self._queue = queue
        self._draw = draw
        self._began = env.time()
        self._states = [policy.start(self._began) for _ in range(clients)]
        self._attempts = [1] * clients  # the connection that was lost was the first
        self.tries = array("d")
        self.connected = array("d")
        self.gave_up = 0
        for client in range(clients):
            env.call(notice * draw(client), self._wait, client)

    def __repr__(self) -> str:
        return f"<Herd, {len(self.connected)} of {len(self._states)} connected after {len(self.tries)} tries>"

    def reached(self, share: float) -> float | None:
        """When this part of all clients was connected, in s from the beginning; None if it was not."""
        place = max(1, ceil(share * len(self._states)))
        return self.connected[place - 1] if place <= len(self.connected) else None

    def peak(self, width: float = 0.1) -> int:
        """The most tries within one of the steps of `width` seconds."""
        return max(Counter(int(time / width) for time in self.tries).values(), default=0)

    def _wait(self, client: int) -> None:
        """A connection was lost, or refused."""
        delay = self._states[client].next_delay(self._attempts[client], self._env.time(), self._draw(client))
        if delay is None:
            self.gave_up += 1
            return
        self._attempts[client] += 1
        self._env.call(delay, self._try, client)

    def _try(self, client: int) -> None:
        self.tries.append(self._env.time() - self._began)
        if not self._queue.connect(self._accepted):
            self._wait(client)

    def _accepted(self) -> None:
        self.connected.append(self._env.time() - self._began)
