"""Who may be which agent, and which handlers it may use. The driver decides; the core asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Protocol

import msgspec

from synapse.policies import RateLimit, RateLimitPolicy, Rejected, Verdict


class Grant(msgspec.Struct, frozen=True):
    """A join is allowed.

    Parameters
    ----------
    key
        The name of what opened the door, for the record: a key's name or a user's.
    trusted
        Whether it was an identity of the host's (a Jupyter user) rather than a mere key.
    rate_limit
        How often its bearers may ask, all together, besides the rules for everybody.
    handlers
        The handlers that it opens, by name or pattern, of those that are open at all; None for all of these.
    """

    key: str
    trusted: bool = False
    rate_limit: RateLimitPolicy | None = None
    handlers: tuple[str, ...] | None = None

    def opens(self, handler: str) -> bool:
        """Whether it opens a handler, or all handlers of a pattern."""
        return self.handlers is None or any(matches(handler, one) for one in self.handlers)


class GrantLimit:
    """A grant's own rate limit, running. Its refusals name whose it is: ``token-bucket of key lab``, never a secret.

    Parameters
    ----------
    grant
        Whose limit it is; it has one.
    now
        When, in s.
    before
        What the same key was limited by so far.
    """

    __slots__ = ("kind", "policy", "state")

    def __init__(self, grant: Grant, now: float, before: GrantLimit | None = None) -> None:
        assert grant.rate_limit is not None
        self.policy = grant.rate_limit
        self.state: RateLimit = self.policy.start(now, before and before.state)
        self.kind = f"{self.state.kind} of {grant.key.replace(':', ' ', 1)}"

    def __repr__(self) -> str:
        return f"<GrantLimit {self.kind}>"

    def admit(self, now: float, cost: int = 1) -> Verdict:
        """As of a `RateLimit`, as are the others."""
        verdict = self.state.admit(now, cost)
        return msgspec.structs.replace(verdict, policy=self.kind) if isinstance(verdict, Rejected) else verdict

    def wait(self, now: float, cost: int = 1) -> float:
        """How long until it would be admitted, in s."""
        return self.state.wait(now, cost)

    def spend(self, now: float, cost: int = 1) -> None:
        """Take it."""
        self.state.spend(now, cost)

    def idle(self, now: float) -> bool:
        """Whether it may be forgotten."""
        return self.state.idle(now)


class Denial(msgspec.Struct, frozen=True):
    """A join is refused: ``api_key required``, ``token not accepted`` or ``unauthorized``."""

    reason: str


class Authorizer(Protocol):
    """Decides on joins."""

    def authorize(self, agent: str, payload: Any, identity: Any) -> Grant | Denial:
        """Decide on a join; `identity` is whom the driver recognised when the connection was made, or None."""

    def authorize_worker(self, name: str, payload: Any, identity: Any) -> Grant | Denial:
        """Decide on the join of a worker, who will be given other agents' queries."""


class OpenDoor:
    """Lets everybody in: for tests, rehearsals and an embedded cortex on its own."""

    def authorize(self, agent: str, payload: Any, identity: Any) -> Grant | Denial:  # noqa: ARG002
        """Yes."""
        return Grant("anyone", trusted=True)

    def authorize_worker(self, name: str, payload: Any, identity: Any) -> Grant | Denial:  # noqa: ARG002
        """Yes."""
        return Grant("anyone", trusted=True)


def matches(agent: str, pattern: str) -> bool:
    """Whether an agent's id fits a pattern, in which ``*`` stands for any text and all else for itself.

    >>> matches("lab-7", "lab-*"), matches("lab[7]", "lab[7]"), matches("hal", "lab-*")
    (True, True, False)
    """
    return fnmatchcase(agent, pattern.replace("[", "[[]").replace("?", "[?]"))


class HandlerAccess:
    """Which handlers the agents of a pattern may use.

    Parameters
    ----------
    patterns
        Agent patterns (``*``, ``lab-*``) to handler names, the first of which is the default. The first
        pattern that matches, in the given order but with exact names first and ``*`` last, decides. A handler's
        name may be a pattern, too (``worker:*``); such a one is no default.
    trusted_only
        Handlers, by name or pattern, for which a mere API key does not do, as they run code (``kernel``).
    """

    def __init__(self, patterns: Mapping[str, Sequence[str]], trusted_only: Sequence[str] = ()) -> None:
        for pattern, handlers in patterns.items():
            if not handlers:
                raise ValueError(f"handlers: {pattern!r} names no handler")
        ordered = sorted(patterns.items(), key=lambda item: ("*" in item[0], item[0] == "*"))
        self._trusted_only = tuple(trusted_only)
        self._patterns = [
            (pattern, tuple(handlers), tuple(name for name in handlers if not self._is_guarded(name)))
            for pattern, handlers in ordered
        ]

    def of(self, agent: str, grant: Grant) -> tuple[str, ...]:
        """The handlers an agent may use, by name or pattern; empty if it may use none."""
        known = self._known(agent, grant)
        if grant.handlers is None:
            return known
        parts = ([name] if grant.opens(name) else self._opened_within(name, grant) for name in known)
        return tuple(dict.fromkeys(name for part in parts for name in part))

    def choose(self, agent: str, grant: Grant, asked: str | None = None) -> str | None:
        """The handler for a query that asks for this one, or for none in particular; None if there is none for it."""
        if asked is None:
            return next((name for name in self.of(agent, grant) if "*" not in name), None)
        if "*" in asked or not grant.opens(asked):
            return None
        known = self._known(agent, grant)
        if asked in known:
            return asked
        fits = any("*" in name and matches(asked, name) for name in known)
        return asked if fits and (grant.trusted or not self._is_guarded(asked)) else None

    def _known(self, agent: str, grant: Grant) -> tuple[str, ...]:
        """What is open to an agent, whatever its grant is limited to."""
        for pattern, all_of_them, unguarded in self._patterns:
            if matches(agent, pattern):
                return all_of_them if grant.trusted else unguarded
        return ()

    def _opened_within(self, pattern: str, grant: Grant) -> list[str]:
        """Which part of a pattern of handlers a limited grant opens."""
        within = [one for one in grant.handlers or () if matches(one, pattern)]
        return [one for one in within if grant.trusted or not self._is_guarded(one)]

    def _is_guarded(self, handler: str) -> bool:
        return any(matches(handler, pattern) for pattern in self._trusted_only)
