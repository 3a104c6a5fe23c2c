"""How right the nodes are about who is present."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable

from synapse.simulation.env import Environment
from synapse.simulation.presence.clocks import Ref
from synapse.simulation.presence.replica_set import Tag
from synapse.simulation.presence.tracker import Status


class Convergence:
    """Compares what each node shows with what is, and notes how the comparison changes.

    A view is what one node that is running shows of the presences at one other. It is right if it is exactly the
    presences that are there: none, at a node that has crashed. What there is does not depend on whom one can reach: in
    a netsplit, nodes that go on showing the other side are right.

    Attributes
    ----------
    times, right : list of float
        From each of the `times`, in s, on, the fraction of views that were `right`.
    seen : list of tuple
        (time in s, observer, replica, `Status`): when a node has made up its mind about another.
    """

    def __init__(self, env: Environment, nodes: int) -> None:
        self._env = env
        self._nodes = nodes
        self._there: dict[int, set[Tag]] = {node: set() for node in range(nodes)}
        self._wrong: dict[int, dict[int, set[Tag]]] = {}  # by observer and subject: in one of both only
        self._wrong_views = 0
        self.times: list[float] = [env.time()]
        self.right: list[float] = [1.0]
        self.seen: list[tuple[float, int, Ref, Status]] = []

    def __repr__(self) -> str:
        return f"<Convergence of {self._nodes} nodes, {self.fraction:.3g} of the views right>"

    @property
    def fraction(self) -> float:
        """How many of the views are right now. 1 if there are none."""
        views = len(self._wrong) * (self._nodes - 1)
        return 1.0 - self._wrong_views / views if views else 1.0

    def fraction_at(self, time: float) -> float:
        """How many of the views were right at a time, in s, after all that happened then."""
        return self.right[max(0, bisect_right(self.times, time) - 1)]

    def converged_at(self, since: float) -> float | None:
        """When all views were right, the first time from `since` on, in s; None if they have not been."""
        if self.fraction_at(since) == 1.0:
            return since
        for place in range(bisect_left(self.times, since), len(self.times)):
            if self.right[place] == 1.0:
                return self.times[place]
        return None

    def started(self, node: int) -> None:
        """A node begins to look: it shows nothing yet."""
        self._wrong[node] = {subject: set(there) for subject, there in self._there.items() if subject != node}
        self._wrong_views += sum(map(bool, self._wrong[node].values()))
        self._note()

    def ended(self, node: int) -> None:
        """A node has crashed or stopped: it shows nothing, and none is present at it any more."""
        self._wrong_views -= sum(map(bool, self._wrong.pop(node).values()))
        gone, self._there[node] = self._there[node], set()
        for observer in self._wrong:
            self._toggle(observer, gone)
        self._note()

    def came(self, tag: Tag) -> None:
        """One is present."""
        self._there[tag[0][0]].add(tag)
        self._changed(tag)

    def went(self, tag: Tag) -> None:
        """One is present no longer."""
        self._there[tag[0][0]].remove(tag)
        self._changed(tag)

    def shows(self, observer: int, tags: list[Tag]) -> None:
        self._toggle(observer, tags)
        self._note()

    hides = shows  # either makes what was wrong right, and what was right wrong

    def takes_for(self, observer: int, ref: Ref, status: Status) -> None:
        self.seen.append((self._env.time(), observer, ref, status))

    def _changed(self, tag: Tag) -> None:
        for observer in self._wrong:
            self._toggle(observer, (tag,))
        self._note()

    def _toggle(self, observer: int, tags: Iterable[Tag]) -> None:
        views = self._wrong[observer]
        for tag in tags:
            subject = tag[0][0]
            if subject == observer:
                continue  # each is right about itself
            wrong = views[subject]
            before = bool(wrong)
            wrong ^= {tag}
            self._wrong_views += bool(wrong) - before

    def _note(self) -> None:
        now, fraction = self._env.time(), self.fraction
        if fraction == self.right[-1]:
            return
        if now == self.times[-1]:
            self.right[-1] = fraction
        else:
            self.times.append(now)
            self.right.append(fraction)
