"""All the rules of a node in one value, with those of single handlers."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from synapse.policies import (
    Connections,
    Fifo,
    Fixed,
    FixedTimeout,
    HandlerPolicies,
    Policies,
    PolicyError,
    TokenBucket,
    Unlimited,
)

KERNEL = HandlerPolicies(concurrency=Fixed(4), rate_limit=TokenBucket(1, 5))
ALL = Policies(queue=Fifo(), connections=Connections(total=5), handlers={"kernel": KERNEL})

TOML = """
[queue]
kind = "fifo"

[connections]
kind = "connections"
total = 5

[handlers.kernel]
concurrency = { kind = "fixed", limit = 4 }
rate_limit = { kind = "token-bucket", rate = 1, burst = 5 }
"""


def test_what_is_written_is_read_back() -> None:
    assert Policies.decode(ALL.encode()) == ALL
    assert Policies.decode(Policies().encode()) == Policies()


def test_toml_says_the_same_as_python() -> None:
    assert Policies.decode(tomllib.loads(TOML)) == ALL


def test_a_value_is_read_as_it_is() -> None:
    assert Policies.decode(ALL) is ALL
    assert Policies.decode({"handlers": {"kernel": KERNEL}}) == Policies(handlers={"kernel": KERNEL})


def test_a_handler_shows_only_what_is_its_own() -> None:
    assert set(ALL.encode()["handlers"]["kernel"]) == {"concurrency", "rate_limit"}


def test_a_handlers_scheduler_runs_by_its_own_rules_and_else_by_the_nodes() -> None:
    policies = Policies(queue=Fifo(3), timeout=FixedTimeout(7), rate_limit=TokenBucket(9, 9), handlers={"k": KERNEL})
    rules = policies.of_handler("k")
    assert (rules.concurrency, rules.queue, rules.timeout) == (Fixed(4), Fifo(3), FixedTimeout(7))
    assert rules.rate_limit == TokenBucket(1, 5), "the node's limit is counted by the node, over all handlers"
    bare = Policies(rate_limit=TokenBucket(9, 9), handlers={"k": HandlerPolicies(concurrency=Fixed(4))})
    assert bare.of_handler("k").rate_limit == Unlimited()


@pytest.mark.parametrize(
    ("handlers", "message"),
    [
        ([], "handlers: must be a table of handlers' names; not []"),
        ({"k": {"concurency": "fixed"}}, "handlers.k.concurency: is not known. Did you mean 'concurrency'?"),
        ({"k": {"concurrency": {"kind": "fixed", "limit": 0}}}, "handlers.k.concurrency.limit: must be a whole number"),
        ({"k": {"mailbox": "credit"}}, "handlers.k.mailbox: is of connections, not of queries"),
        ({"k": {}}, "handlers.k: must have at least one of queue, concurrency, timeout, rate_limit"),
        ({"k": 5}, "handlers.k: must be a table"),
        ({"": {"queue": "fifo"}}, "handlers.: must be the name of a handler"),
        ({5: {"queue": "fifo"}}, "handlers.5: must be the name of a handler"),
    ],
)
def test_what_is_wrong_is_named(handlers: Any, message: str) -> None:
    with pytest.raises(PolicyError) as caught:
        Policies.decode({"handlers": handlers})
    assert str(caught.value).startswith(message)


def test_the_parts_besides_handlers_are_held_to_their_own_ranges() -> None:
    with pytest.raises(PolicyError, match=r"^queue\.bound"):
        Policies.decode({"queue": {"kind": "fifo", "bound": -1}, "handlers": {}})
