"""How patient a client is: plain values, no clock and no chance of their own."""

from __future__ import annotations

import msgspec

from synapse.policies.retry import GuardPolicy, NoRetry, RetryPolicy


class Backoff(msgspec.Struct, frozen=True, kw_only=True):
    """Exponential backoff with full jitter: the n-th retry waits a uniform time in [0, min(cap, base·2ⁿ)].

    Full jitter spreads the clients of a restarted server best (Brooker, "Exponential Backoff and Jitter", 2015).

    Parameters
    ----------
    base, cap
        Seconds: the first retry's longest wait, and the longest wait of all.
    steady_after
        Seconds something must have worked before the count of retries starts again from zero. Without it
        a server that accepts and drops at once would be asked in a tight loop.
    """

    base: float = 0.1
    cap: float = 5.0
    steady_after: float = 5.0

    def start(self) -> Retry:
        """The running state of this policy."""
        return Retry(self)


class Retry:
    """How often a thing was tried in vain."""

    __slots__ = ("_since", "attempts", "policy")

    def __init__(self, policy: Backoff) -> None:
        self.policy = policy
        self.attempts = 0
        self._since: float | None = None

    def worked(self, now: float) -> None:
        """It works, from `now` on."""
        self._since = now

    def delay(self, now: float, random: float) -> float:
        """It failed: seconds to wait before the next try. `random` is uniform in [0, 1)."""
        policy = self.policy
        if self._since is not None and now - self._since >= policy.steady_after:
            self.attempts = 0
        self._since = None
        longest = min(policy.cap, policy.base * 2.0 ** min(self.attempts, 60))
        self.attempts += 1
        return longest * random


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of one session. Times are seconds.

    Parameters
    ----------
    heartbeat
        Between heartbeats; Phoenix servers drop a client after 45 to 60 silent seconds. An unanswered
        heartbeat means a dead connection when the next one is due.
    join, reply
        Longest wait for the answer to a join, to any other message.
    reconnect, rejoin
        Waits before a new socket, before a topic is joined again on a living socket.
    patience
        The server's own query timeout where a query names none (30 s). The client does not enforce it while it is
        connected: then the server owes the ending, however long its rule is.
    grace
        Added to `patience` before a query's ending counts as lost, after a drop.
    late
        How long after a query's own timeout the server's word of it may still come, over a living connection. Then,
        or at once where there is none, the client gives up.
    resume
        Whether to ask the server to number thoughts and to send again, after a drop, what was missed. A
        Phoenix server that knows nothing of it takes no notice.
    max_pending
        Messages that may wait for an answer, sent and unsent together; and queries without an ending.
    retry
        When a query that the server refused for now is asked again, and how often.
    guard
        What else keeps the tries of all queries within bounds; None for nothing.
    """

    heartbeat: float = 30.0
    join: float = 10.0
    reply: float = 10.0
    reconnect: Backoff = Backoff()
    rejoin: Backoff = Backoff(base=0.5)
    patience: float = 30.0
    grace: float = 10.0
    late: float = 2.0
    resume: bool = True
    max_pending: int = 10_000
    retry: RetryPolicy = NoRetry()
    guard: GuardPolicy | None = None
