"""Who may be which agent, and which handlers it may use. The driver decides; the core asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Protocol

import msgspec

from synapse.policies import RateLimitPolicy


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
        The handlers that it opens, of those that are open at all; None for all of these.
    """

    key: str
    trusted: bool = False
    rate_limit: RateLimitPolicy | None = None
    handlers: tuple[str, ...] | None = None

    def opens(self, handler: str) -> bool:
        """Whether a handler is among those that it opens."""
        return self.handlers is None or handler in self.handlers


class Denial(msgspec.Struct, frozen=True):
    """A join is refused: ``api_key required``, ``token not accepted`` or ``unauthorized``."""

    reason: str


class Authorizer(Protocol):
    """Decides on joins."""

    def authorize(self, agent: str, payload: Any, identity: Any) -> Grant | Denial:
        """Decide on a join; `identity` is whom the driver recognised when the connection was made, or None."""


class OpenDoor:
    """Lets everybody in: for tests, rehearsals and an embedded cortex on its own."""

    def authorize(self, agent: str, payload: Any, identity: Any) -> Grant | Denial:  # noqa: ARG002
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
        pattern that matches, in the given order but with exact names first and ``*`` last, decides.
    trusted_only
        Handlers for which a mere API key does not do, as they run code (``kernel``).
    """

    def __init__(self, patterns: Mapping[str, Sequence[str]], trusted_only: Sequence[str] = ()) -> None:
        for pattern, handlers in patterns.items():
            if not handlers:
                raise ValueError(f"handlers: {pattern!r} names no handler")
        self._patterns = sorted(patterns.items(), key=lambda item: ("*" in item[0], item[0] == "*"))
        self._trusted_only = frozenset(trusted_only)

    def of(self, agent: str, grant: Grant) -> tuple[str, ...]:
        """The handlers an agent may use, its default first; empty if it may use none."""
        for pattern, handlers in self._patterns:
            if matches(agent, pattern):
                open_to_all = (name for name in handlers if grant.trusted or name not in self._trusted_only)
                return tuple(name for name in open_to_all if grant.opens(name))
        return ()
