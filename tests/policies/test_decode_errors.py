"""Errors of the decoder, and of values made in Python: the field, its range, its unit."""

from __future__ import annotations

import contextlib
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse.policies import (
    FAMILIES,
    GCRA,
    All,
    FairShare,
    Fifo,
    FixedTimeout,
    PerPriority,
    PolicyError,
    TokenBucket,
    Unlimited,
    decode,
)

GCRA_OF_5 = {"kind": "gcra", "rate": 5, "burst": 1}

A_KIND = "one of unlimited, token-bucket, gcra, fixed-window, sliding-log, sliding-counter, all"
A_RATE = "a number > 0 and <= 1e+09, in 1/s"
A_TIME = "a number > 0 and <= 1e+09, in s"
A_DELAY = "a number >= 0 and <= 1e+09, in s"
A_LIST = f"a list of at least 1 and at most 10, each {A_TIME}"
A_COUNT = "a whole number >= 1 and <= 1000000000"
A_SIZE = "a whole number >= 1 and <= 1125899906842624, in bytes"
A_WEIGHT = "a number >= 0.1 and <= 1000"
A_PER = "one of 'connection', 'agent', 'key', 'global'"

anything = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=3) | st.sampled_from(sorted(FAMILIES["rate-limit"])),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["kind", "rate", "policies", "limit", "x"]), inner, max_size=4)
    ),
)


class TestErrors:
    @pytest.mark.parametrize(
        ("family", "value", "path", "problem"),
        [
            ("rate-limit", {**GCRA_OF_5, "rate": -1}, "rate", f"must be {A_RATE}; not -1"),
            ("rate-limit", {**GCRA_OF_5, "rate": "5"}, "rate", f"must be {A_RATE}; not '5'"),
            ("rate-limit", {**GCRA_OF_5, "rate": float("inf")}, "rate", f"must be {A_RATE}; not inf"),
            ("rate-limit", {**GCRA_OF_5, "rate": float("nan")}, "rate", f"must be {A_RATE}; not nan"),
            ("rate-limit", {**GCRA_OF_5, "burst": 1.5}, "burst", f"must be {A_COUNT}; not 1.5"),
            ("rate-limit", {**GCRA_OF_5, "per": "node"}, "per", f"must be {A_PER}; not 'node'"),
            ("rate-limit", {**GCRA_OF_5, "rat": 1}, "rat", "is no field of 'gcra', which has rate, burst, per"),
            ("rate-limit", {"kind": "gcra", "burst": 1}, "rate", f"is required: {A_RATE}"),
            ("rate-limit", {"kind": "gcr"}, "kind", f"must be {A_KIND}; not 'gcr'. Did you mean 'gcra'?"),
            ("rate-limit", {"kind": 5}, "kind", f"must be {A_KIND}; not 5"),
            ("rate-limit", {"rate": 1}, "kind", f"is required: {A_KIND}"),
            ("rate-limit", 5, "", f"must be a table with a kind: {A_KIND.removeprefix('one of ')}; not 5"),
            ("queue", {"kind": "fair-share", "weights": {"b": 1, "a": 0}}, "weights.a", f"must be {A_WEIGHT}; not 0"),
            (
                "queue",
                {"kind": "fair-share", "weights": 3},
                "weights",
                f"must be a table of names, each {A_WEIGHT}; not 3",
            ),
            ("queue", {"kind": "deadline", "service": -1}, "service", f"must be {A_DELAY} or null; not -1"),
            ("timeout", {"kind": "per-priority", "seconds": []}, "seconds", f"must be {A_LIST}; not []"),
            ("timeout", {"kind": "per-priority", "seconds": [1, 0]}, "seconds[1]", f"must be {A_TIME}; not 0"),
            ("timeout", {"kind": "adaptive", "least": 50}, "least", "must be at most `most`, 30 s; not 50"),
            ("mailbox", {"kind": "disconnect", "size": 0}, "size", f"must be {A_SIZE}; not 0"),
            ("mailbox", GCRA(5, 1), "", "must be a mailbox policy; GCRA(rate=5.0, burst=1, per='agent') is none"),
            ("concurrency", {"kind": "fixed", "limit": True}, "limit", f"must be {A_COUNT}; not True"),
        ],
    )
    def test_they_name_the_field_the_range_and_the_unit(self, family: str, value: Any, path: str, problem: str) -> None:
        with pytest.raises(PolicyError) as caught:
            decode(family, value)
        assert caught.value.path == path
        assert caught.value.problem == problem
        assert str(caught.value) == (f"{path}: {caught.value.problem}" if path else caught.value.problem)

    @pytest.mark.parametrize(
        ("members", "path"),
        [
            ([{"kind": "unlimited"}, {**GCRA_OF_5, "rate": 0}], "policies[1].rate"),
            ([{"kind": "fifo"}], "policies[0].kind"),
            ([{"kind": "all", "policies": ["unlimited"]}], "policies[0]"),
            ([], "policies"),
            ({"kind": "unlimited"}, "policies"),
            ("unlimited", "policies"),
        ],
    )
    def test_they_say_which_of_several(self, members: Any, path: str) -> None:
        with pytest.raises(PolicyError) as caught:
            decode("rate-limit", {"kind": "all", "policies": members})
        assert caught.value.path == path

    def test_they_say_where_in_a_larger_value(self) -> None:
        with pytest.raises(PolicyError, match=r"^policies\.limit\.policies\[0\]\.rate: must be"):
            decode("rate-limit", {"kind": "all", "policies": [{**GCRA_OF_5, "rate": 0}]}, "policies.limit")
        with pytest.raises(PolicyError, match=r"^policies\.limit\.policy: is no field of 'all'"):
            decode("rate-limit", {"kind": "all", "policy": []}, "policies.limit")

    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (lambda: TokenBucket(rate=-1, burst=1), "rate: must be a number > 0 and <= 1e+09, in 1/s; not -1"),
            (lambda: TokenBucket(rate=1, burst=1, per="x"), "per: must be one of .* not 'x'"),  # type: ignore[arg-type]
            (lambda: Fifo("many"), "bound: must be a whole number >= 0"),  # type: ignore[arg-type]
            (lambda: FairShare(weights={"a": 0}), "weights.a: must be a number >= 0.1"),
            (lambda: All(()), "policies: must be a list of at least 1 rate limit"),
            (lambda: All((Fifo(),)), r"policies\[0\]: must be a rate limit"),  # type: ignore[arg-type]
        ],
    )
    def test_a_value_made_in_python_is_held_to_the_same(self, make: Any, message: str) -> None:
        with pytest.raises(PolicyError, match=message.replace("+", r"\+")):
            make()

    def test_a_value_made_in_python_becomes_what_would_have_been_read(self) -> None:
        value = PerPriority([1, 2])  # type: ignore[arg-type]
        assert value.seconds == (1.0, 2.0)
        assert all(type(seconds) is float for seconds in value.seconds)
        assert type(FixedTimeout(30).seconds) is float
        assert All([Unlimited()]).policies == (Unlimited(),)  # type: ignore[arg-type]

    def test_an_error_can_be_pickled(self) -> None:
        error = pickle.loads(pickle.dumps(PolicyError("a.b", "is bad")))
        assert (error.path, error.problem, str(error)) == ("a.b", "is bad", "a.b: is bad")

    @given(value=anything)
    @pytest.mark.parametrize("family", FAMILIES)
    def test_whatever_is_read_is_a_policy_or_a_policy_error(self, family: str, value: Any) -> None:
        with contextlib.suppress(PolicyError):
            assert type(decode(family, value)) in FAMILIES[family].values()
