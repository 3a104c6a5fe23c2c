"""What the cluster and its nodes are like."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from synapse.policies import (
    BalancingPolicy,
    ConcurrencyPolicy,
    Disconnect,
    Fixed,
    FixedTimeout,
    MailboxPolicy,
    Policies,
    PowerOfTwo,
    Priority,
    QueuePolicy,
    RateLimitPolicy,
    TimeoutPolicy,
    Unlimited,
)
from synapse.policies.fields import Delay
from synapse.simulation.distributions import Deterministic, Distribution, Exponential
from synapse.simulation.presence import Replication
from synapse.simulation.spec.section import Section


class Node(Section, frozen=True):
    """One node: how it works, and its rules, which are the live server's.

    Parameters
    ----------
    slots
        Queries that it can work on at once.
    service
        How long one takes, s; with `gap`, the time to its first thought.
    thoughts
        How many thoughts the answer streams.
    gap
        The time from thought to thought, s. None: thoughts are spread evenly over the service.
    stops
        Whether work stops when its query has ended (a timeout, an interrupt), or goes on in vain.
    queue, concurrency, timeout, rate_limit, mailbox
        The rules. No `concurrency`: as many as there are slots. Queries that it lets run beyond the slots wait inside
        the node, first come first served.
    """

    slots: Annotated[int, Meta(ge=1, le=1_000_000, description="Queries that it can work on at once.")] = 8
    service: Distribution = Exponential(0.05)
    thoughts: Annotated[int, Meta(ge=0, le=100_000, description="How many thoughts an answer streams.")] = 0
    gap: Distribution | None = None
    stops: bool = True
    queue: QueuePolicy = Priority()
    concurrency: ConcurrencyPolicy | None = None
    timeout: TimeoutPolicy = FixedTimeout()
    rate_limit: RateLimitPolicy = Unlimited()
    mailbox: MailboxPolicy = Disconnect()

    def policies(self) -> Policies:
        """The rules in one value, as a live node has them."""
        return Policies(
            queue=self.queue,
            concurrency=Fixed(self.slots) if self.concurrency is None else self.concurrency,
            timeout=self.timeout,
            rate_limit=self.rate_limit,
            mailbox=self.mailbox,
        )


class Cluster(Section, frozen=True):
    """The nodes together.

    Parameters
    ----------
    nodes
        How many.
    balancing
        Which node a query goes to.
    per
        Whether each `query` is balanced, or each `connection`, whose queries then all go to its node.
    stale
        How old the loads that the balancer sees become before it asks anew, s. 0: they are always fresh.
    latency
        How long a query or an answer is under way between agent and node, s.
    """

    nodes: Annotated[int, Meta(ge=1, le=10_000, description="How many.")] = 1
    balancing: BalancingPolicy = PowerOfTwo()
    per: Literal["query", "connection"] = "query"
    stale: Annotated[Delay, Meta(description="How old the loads that the balancer sees become.")] = 0.0
    latency: Distribution = Deterministic(0.0)


class Presence(Section, frozen=True):
    """How nodes tell each other who is there.

    Parameters
    ----------
    replication
        The protocol, with Phoenix.Tracker's constants.
    latency
        How long a message between nodes is under way, s.
    loss
        The share of messages that is lost.
    """

    replication: Replication = Replication()
    latency: Distribution = Deterministic(0.001)
    loss: Annotated[float, Meta(ge=0, le=1, description="The share of messages that is lost.")] = 0.0
