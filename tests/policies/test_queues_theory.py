"""Queues against the exact answers of queueing theory, within 3 standard errors."""

from __future__ import annotations

from typing import Any

import pytest

from synapse.policies import Deadline, Fifo, Lifo, Priority
from tests.policies.station import Customer, mean, run

COUNT = 100_000


@pytest.mark.parametrize(
    ("load", "servers", "patience", "lost"),
    [
        (0.9, 1, 1.0, 0.304908),
        (0.9, 1, 5.0, 0.107306),
        (1.2, 1, 5.0, 0.223855),
        (7.2, 8, 0.5, 0.081531),
        (9.6, 8, 0.5, 0.212242),
        (16.0, 8, 1.0, 0.500014),
    ],
)
def test_a_deadline_queue_loses_what_impatient_customers_lose(
    load: float, servers: int, patience: float, lost: float
) -> None:
    """Dropping those whose deadline has passed is M/M/c with deterministic patience (Baccelli and Hebuterne)."""

    def customer(now: float, service: float, u: float) -> Customer:
        return Customer(now, service, deadline=now + patience)

    came = run(Deadline(bound=10_000, service=0.0), load, servers, COUNT, seed=7, customer=customer)
    found, error = mean([float(one.waited is None) for one in came])
    assert abs(found - lost) <= 3 * error


@pytest.mark.parametrize("policy", [Fifo(8), Lifo(8), Priority(8)])
@pytest.mark.parametrize(("load", "blocked"), [(7.2, 0.041470), (9.6, 0.187507)])
def test_a_bounded_queue_loses_the_same_share_in_whatever_order_it_serves(
    policy: Any, load: float, blocked: float
) -> None:
    """M/M/8/16: eight are served, eight wait."""

    def customer(now: float, service: float, u: float) -> Customer:
        return Customer(now, service, priority=int(3 * u))

    came = run(policy, load, 8, COUNT, seed=11, customer=customer)
    found, error = mean([float(one.waited is None) for one in came])
    assert abs(found - blocked) <= 3 * error


def test_each_class_of_a_priority_queue_waits_as_cobham_says() -> None:
    """M/M/1 with two classes, not preemptive: W0 / ((1 - s[k-1]) (1 - s[k])), W0 = rho."""
    rho, high = 0.8, 0.3

    def customer(now: float, service: float, u: float) -> Customer:
        return Customer(now, service, priority=0 if u < high else 9)

    came = run(Priority(bound=10**6), rho, 1, 2 * COUNT, seed=13, customer=customer)
    expected = {0: rho / (1 - high * rho), 9: rho / ((1 - high * rho) * (1 - rho))}
    for priority, wait in expected.items():
        found, error = mean([one.waited or 0.0 for one in came if one.priority == priority])
        assert abs(found - wait) <= 3 * error


@pytest.mark.parametrize("policy", [Fifo(bound=10**6), Lifo(bound=10**6)])
def test_first_or_last_the_mean_wait_is_the_same(policy: Any) -> None:
    """M/M/2 at 0.8: 1.7778 by Erlang C."""
    came = run(policy, 1.6, 2, 2 * COUNT, seed=17, customer=lambda now, service, u: Customer(now, service))
    found, error = mean([one.waited or 0.0 for one in came])
    assert abs(found - 1.777778) <= 3 * error


def test_past_saturation_a_lifo_answers_in_time_where_a_fifo_answers_no_one() -> None:
    def in_time(policy: Any) -> float:
        came = run(policy, 1.5, 1, 20_000, seed=19, customer=lambda now, service, u: Customer(now, service))
        return sum(one.waited is not None and one.waited < 10 for one in came) / 20_000

    assert in_time(Fifo(bound=1000)) < 0.1
    assert in_time(Lifo(bound=1000)) > 0.55
