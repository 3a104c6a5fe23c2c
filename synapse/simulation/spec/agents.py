"""What agents are like: how often they ask, how patient they are, and what they do when it goes wrong."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from synapse.policies import (
    FixedTimeout,
    GuardPolicy,
    NoRetry,
    PolicyError,
    RetryPolicy,
    Table,
    TimeoutPolicy,
)
from synapse.policies.fields import Count, Rate, Seconds
from synapse.simulation.distributions import Distribution, Exponential
from synapse.simulation.spec.arrivals import Arrivals, Closed
from synapse.simulation.spec.section import Section

Priority = Annotated[int, Meta(ge=0, le=9, description="0 (first) to 9 (last).")]
Failure = Literal["rejected", "timeout", "error"]
OnTimeout = Literal["leave", "interrupt", "deadline"]


class Kind(Section, frozen=True):
    """One kind of agents among others. What it does not say is as for all.

    Parameters
    ----------
    name
        What tables and figures call it.
    share
        How many of all agents are of this kind, relative to the other kinds' shares.
    priority, key, think, timeout, retry, budget, service
        As in `Agents`; `service` is how long its queries take, in place of the node's.
    """

    name: Annotated[str, Meta(min_length=1, max_length=64)]
    share: Annotated[float, Meta(gt=0, le=1e6, description="How many are of this kind, relative to the others.")] = 1.0
    priority: Priority | None = None
    key: str | None = None
    think: Distribution | None = None
    timeout: TimeoutPolicy | None = None
    retry: RetryPolicy | None = None
    budget: GuardPolicy | None = None
    service: Distribution | None = None


class Connection(Section, frozen=True):
    """Agents' connections: they break, and are made again as the node's accept rate allows.

    An agent without a connection asks nothing; the answers that it waits for reach it when it has one again.

    Parameters
    ----------
    lifetime
        How long a connection lasts, s. None: until a fault breaks it.
    reconnect
        When it tries again.
    backlog
        Connections that may wait at a node to be accepted.
    accepts
        Connections that a node accepts, 1/s.
    """

    lifetime: Distribution | None = None
    reconnect: RetryPolicy = Table(jitter=1.0)
    backlog: Annotated[Count, Meta(description="Connections that may wait at a node to be accepted.")] = 128
    accepts: Annotated[Rate, Meta(description="Connections that a node accepts per second.")] = 1000.0


class Readers(Section, frozen=True):
    """How agents read what is sent to them. Behind a slow reader, the node's mailbox policy decides.

    An agent hears an answer, an error, or a refusal when it has read it: latencies last until then, a closed agent
    thinks from then on, and what it has not read by its own timeout comes too late. What waits when it is cut off, or
    its connection breaks, is lost; endings are written again when it is back (see `Mailroom`), after a second where
    connections are not simulated.

    Parameters
    ----------
    rate
        Messages an agent reads, 1/s, of whatever size.
    size
        Bytes of a thought, and of a reply.
    """

    rate: Annotated[Rate, Meta(description="Messages that an agent reads per second.")] = 100.0
    size: Annotated[int, Meta(ge=1, le=2**30, description="Bytes of a message.", extra={"unit": "bytes"})] = 100


class Agents(Section, frozen=True):
    """All agents.

    Parameters
    ----------
    count
        How many.
    arrivals
        When they ask. Closed ones think and ask; with an open process each query is of the next agent in turn.
    think
        How long a closed agent thinks before it asks, s.
    timeout
        How long it waits for an answer to one try, s; for ever, if that is of the kind ``none``.
    on_timeout
        What the node hears of it: nothing (`leave`: it works on in vain), an `interrupt` then, or, with the query,
        its `deadline`, by which the node itself ends it.
    patience
        How long a try waits for its turn before its agent calls it off, s; once it is served, it stays. None: as long
        as `timeout` says.
    give_up_after
        How long it goes on trying, from the first try, s. None: as long as `retry` does.
    retry
        When it tries again.
    retry_on
        After which failures.
    budget
        What keeps its retries within bounds. None: nothing.
    budget_per
        Whose tries a budget counts: each agent's, or those of all of its kind together.
    priority
        0 (first) to 9 (last).
    key
        The API key, for limits that count by it.
    kinds
        Kinds of agents, if they are not all alike.
    connection
        How connections come and go. None: they are always there.
    reading
        How fast they read. None: at once.
    """

    count: Annotated[int, Meta(ge=1, le=10_000_000, description="How many.")] = 1000
    arrivals: Arrivals = Closed()
    think: Distribution = Exponential(10.0)
    timeout: TimeoutPolicy = FixedTimeout(30.0)
    on_timeout: OnTimeout = "leave"
    patience: Distribution | None = None
    give_up_after: Annotated[Seconds, Meta(description="How long it goes on trying.")] | None = None
    retry: RetryPolicy = NoRetry()
    retry_on: Annotated[tuple[Failure, ...], Meta(max_length=3)] = ("rejected", "timeout", "error")
    budget: GuardPolicy | None = None
    budget_per: Literal["agent", "kind"] = "agent"
    priority: Priority = 5
    key: str = ""
    kinds: Annotated[tuple[Kind, ...], Meta(max_length=100)] = ()
    connection: Connection | None = None
    reading: Readers | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        names = [kind.name for kind in self.kinds]
        for place, name in enumerate(names):
            if name in names[:place]:
                raise PolicyError(f"kinds[{place}].name", f"must be its own; {name!r} is taken")
        if len(self.kinds) > self.count:
            raise PolicyError("count", f"must be at least the number of kinds, {len(self.kinds)}; not {self.count}")

    def each_kind(self) -> list[tuple[Kind, int]]:
        """Each kind with all that it does not say itself filled in, and how many agents are of it.

        Counts are the shares of the whole, rounded so that they add up (largest remainders).
        """
        kinds = self.kinds or (Kind("agents"),)
        total = sum(kind.share for kind in kinds)
        exact = [self.count * kind.share / total for kind in kinds]
        counts = [int(part) for part in exact]
        by_remainder = sorted(range(len(kinds)), key=lambda place: counts[place] - exact[place])
        for place in by_remainder[: self.count - sum(counts)]:
            counts[place] += 1
        return [(self._filled(kind), count) for kind, count in zip(kinds, counts, strict=True)]

    def _filled(self, kind: Kind) -> Kind:
        fields: dict[str, Any] = {
            name: getattr(self, name)
            for name in ("priority", "key", "think", "timeout", "retry", "budget")
            if getattr(kind, name) is None
        }
        return msgspec.structs.replace(kind, **fields)
