"""Asking again: what a client makes of a server's "not now".

The retry policy says after how long, and how often; the guard whether at all; the query's patience until when.
Only what was refused is asked again: nothing of it ran. Pure: time and chance are handed in.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import msgspec

from synapse.client.settings import Settings
from synapse.client.timers import Timer
from synapse.policies.base import Policy
from synapse.policies.decode import decode
from synapse.policies.retry import Guard, Retry
from synapse.policies.verdict import ADMITTED, Verdict
from synapse.protocol import Error
from synapse.protocol import messages as wire

CURABLE = frozenset({"rate_limited", "overloaded", "shutting_down"})  # reasons that time cures
HELD_BACK = "held_back"  # the reason of a refusal of our own

Rule: TypeAlias = Policy | Mapping[str, Any] | str
"""A policy, or what `synapse.policies.decode` makes one of: a table with its kind, or the kind alone."""


def settings_for(retry: Rule | None, budget: Rule | None) -> Settings:
    """The settings of a client that asks again by these rules.

    Raises
    ------
    PolicyError
        A `ValueError` that names what is wrong.
    """
    rules: dict[str, Any] = {}
    if retry is not None:
        rules["retry"] = decode("retry", retry, "retry")
    if budget is not None:
        rules["guard"] = decode("guard", budget, "budget")
    return Settings(**rules)


class Tries:
    """One query's tries.

    Parameters
    ----------
    policy
        The running state of the retry policy.
    until
        When the query's patience is used up, in s.
    """

    __slots__ = ("made", "pause", "policy", "until", "wanted")

    def __init__(self, policy: Retry, until: float) -> None:
        self.policy = policy
        self.until = until
        self.made = 1
        self.wanted = True  # False: it was interrupted
        self.pause: Timer | None = None  # while it waits to be asked again

    def next(self, message: wire.Query, now: float) -> wire.Query | None:
        """What to send as the next try; None if it is too late. The timeout is what is left of the query's own."""
        self.pause = None
        if now >= self.until:
            return None
        self.made += 1
        left = None if message.timeout is None else max(1, round((self.until - now) * 1e3))
        return msgspec.structs.replace(message, attempt=self.made, timeout=left)

    def stop(self) -> None:
        """Ask no more."""
        if self.pause is not None:
            self.pause.cancel()
            self.pause = None


class Retries:
    """What an agent's queries share: the rules, and the guard's view of how the server does.

    Of each try that it let through the guard hears at most once: a failure if the server refused it for now or did
    not answer in time, a success if it took it up, or refused it for good: then it is the query that is at fault. The
    fate of a try whose connection dropped is not known, unless the server tells later that it took it up.
    """

    def __init__(self, settings: Settings, random: Callable[[], float]) -> None:
        self._settings = settings
        self._random = random
        self._guard: Guard | None = None

    def start(self, until: float, now: float) -> Tries:
        """For a new query that has patience `until` then."""
        return Tries(self._settings.retry.start(now), until)

    def held_back(self, now: float) -> Error | None:
        """The refusal of a query's first try by the guard; None if it may be made."""
        verdict = self._admit(1, now)
        if verdict:
            return None
        after = verdict.retry_after
        return Error(HELD_BACK, policy=verdict.policy, retry_after_ms=None if after is None else math.ceil(after * 1e3))

    def wait(self, tries: Tries, error: Error, now: float) -> float | None:
        """The server refused a try: how long to wait before the next one, in s. None: leave it at that."""
        if error.reason not in CURABLE and error.retry_after_ms is None:
            self.succeeded(now)
            return None
        self.failed(now)
        delay = tries.policy.next_delay(tries.made, now, self._random()) if tries.wanted else None
        if delay is None:
            return None
        wait = max(delay, (error.retry_after_ms or 0) / 1e3)
        # The guard comes last: what it lets through is paid for.
        return wait if now + wait < tries.until and self._admit(tries.made + 1, now) else None

    def succeeded(self, now: float) -> None:
        """The server took a try up."""
        if self._guard is not None:
            self._guard.on_success(now)

    def failed(self, now: float) -> None:
        """The server did not take a try up, or did not answer it."""
        if self._guard is not None:
            self._guard.on_failure(now)

    def _admit(self, attempt: int, now: float) -> Verdict:
        if self._guard is None:
            if self._settings.guard is None:
                return ADMITTED
            self._guard = self._settings.guard.start(now)
        return self._guard.admit(now, self._random(), attempt)
