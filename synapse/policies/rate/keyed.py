"""One limit for many: a state for each key, in bounded memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from operator import attrgetter
from typing import Any

from synapse.policies.rate.limit import RateLimit
from synapse.policies.rate.several import All, OneRateLimit, admit_all
from synapse.policies.rate.unlimited import Unlimited
from synapse.policies.verdict import ADMITTED, Verdict

LOOK = 8
"""How many of the least recently asked a full table looks at for one that may be forgotten."""


class Keyed:
    """A table of one policy's states, one a key.

    At most `most` keys are remembered. A new key then takes the place of one that is idle (a fresh state would
    answer the same: nothing is lost), sought among the least recently asked; if those all still owe, the least
    recently asked is forgotten and starts afresh when it returns. That is counted in `forgotten`. To refuse
    newcomers instead would let whoever can invent keys lock everyone else out; forgetting gives him nothing that
    a further invented key would not. Cost: O(1).

    Parameters
    ----------
    policy
        The limit that each key has.
    now
        When, in s.
    most
        How many keys are remembered.
    before
        A table to carry on from.
    """

    __slots__ = ("_states", "forgotten", "most", "policy")

    def __init__(self, policy: OneRateLimit | All, now: float, most: int = 10_000, before: Keyed | None = None) -> None:
        self.policy = policy
        self.most = most
        self.forgotten = 0
        self._states: OrderedDict[Hashable, RateLimit] = OrderedDict()
        for key, state in before._states.items() if before else ():
            self._states[key] = policy.start(now, state)

    def __len__(self) -> int:
        return len(self._states)

    def __repr__(self) -> str:
        return f"<Keyed {len(self)}/{self.most} keys of {self.policy!r}>"

    def __contains__(self, key: Hashable) -> bool:
        return key in self._states

    def admit(self, key: Hashable, now: float, cost: int = 1) -> Verdict:
        """Ask for `key`."""
        return self.state(key, now).admit(now, cost)

    def state(self, key: Hashable, now: float) -> RateLimit:
        """The state of `key`."""
        state = self._states.get(key)
        if state is None:
            if len(self._states) >= self.most:
                self._forget_one(now)
            state = self._states[key] = self.policy.start(now)
        else:
            self._states.move_to_end(key)
        return state

    def _forget_one(self, now: float) -> None:
        for key, _ in zip(self._states, range(LOOK), strict=False):
            if self._states[key].idle(now):
                del self._states[key]
                return
        self._states.popitem(last=False)
        self.forgotten += 1


class Gate:
    """A rate limit as the live server and the simulator ask it: keyed as each policy's `per` says, all or nothing.

    Parameters
    ----------
    policy
        One limit, or `All` of several, which may be keyed differently.
    now
        When, in s.
    most
        How many keys each of them remembers.
    before
        A gate to carry on from, where kind and `per` are the same.
    shared
        A gate whose limits count here, too: who comes in by either spends of both.
    """

    __slots__ = ("_keyed", "_own", "policy")

    def __init__(
        self,
        policy: OneRateLimit | All,
        now: float,
        most: int = 10_000,
        before: Gate | None = None,
        shared: Gate | None = None,
    ) -> None:
        self.policy = policy
        old = list(before.tables) if before else []
        self._own: list[tuple[Callable[[Any], Hashable], Keyed]] = []
        for one in policy.policies if isinstance(policy, All) else (policy,):
            if isinstance(one, Unlimited):
                continue
            match = next((table for table in old if _alike(table.policy, one)), None)
            if match is not None:
                old.remove(match)
            key_of = _no_key if one.per == "global" else attrgetter(one.per)
            self._own.append((key_of, Keyed(one, now, most, match)))
        self._keyed: list[tuple[Callable[[Any], Hashable], Keyed]]
        self._keyed = self._own if shared is None else [*shared._keyed, *self._own]

    def __repr__(self) -> str:
        return f"<Gate of {self.policy!r}>"

    @property
    def tables(self) -> tuple[Keyed, ...]:
        """The tables of keys, one a limit of its own."""
        return tuple(table for _, table in self._own)

    @property
    def limits(self) -> bool:
        """Whether it can refuse anything."""
        return bool(self._keyed)

    def admit(self, now: float, who: Any, cost: int = 1, also: RateLimit | None = None) -> Verdict:
        """Ask for `who`, whose attributes `connection`, `agent` and `key` are looked at as needed, and `also` there."""
        keyed = self._keyed
        if also is not None:
            return admit_all([*(table.state(key_of(who), now) for key_of, table in keyed), also], now, cost)
        if len(keyed) == 1:
            key_of, table = keyed[0]
            return table.state(key_of(who), now).admit(now, cost)
        if not keyed:
            return ADMITTED
        return admit_all([table.state(key_of(who), now) for key_of, table in keyed], now, cost)


def _no_key(who: Any) -> Hashable:  # noqa: ARG001
    return ""


def _alike(old: Any, new: Any) -> bool:
    return type(old) is type(new) and old.per == new.per
