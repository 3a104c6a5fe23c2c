"""One decoder for all policies: the same value from Python, JSON, TOML and traitlets."""

from __future__ import annotations

import json
import pickle
import tomllib
from typing import Any, ClassVar, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from traitlets import Dict
from traitlets.config import Config, Configurable

from synapse import policies
from synapse.policies import (
    FAMILIES,
    Connections,
    Fifo,
    PolicyError,
    TokenBucket,
    decode,
    decode_parts,
    encode,
)
from synapse.policies.fields import annotations_of, expects
from tests.policies.samples import ALL, SAMPLES


def toml(value: Any) -> str:
    """A value as inline TOML; what is null is left out, as TOML has none."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {toml(part)}" for name, part in value.items() if part is not None) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value)


class TestRoundTrip:
    def test_every_kind_has_a_sample(self) -> None:
        assert {family: {type(value) for value in values} for family, values in SAMPLES.items()} == {
            family: set(kinds.values()) for family, kinds in FAMILIES.items()
        }

    @pytest.mark.parametrize(("family", "value"), ALL)
    def test_what_is_encoded_is_read_back(self, family: str, value: Any) -> None:
        assert decode(family, encode(value)) == value

    @pytest.mark.parametrize(("family", "value"), ALL)
    def test_it_reads_the_same_from_json_toml_and_traitlets(self, family: str, value: Any) -> None:
        class App(Configurable):
            policy = Dict().tag(config=True)

        table = encode(value)
        app = App(config=Config({"App": {"policy": table}}))
        assert decode(family, json.loads(json.dumps(table))) == value
        assert decode(family, tomllib.loads(f"policy = {toml(table)}")["policy"]) == value
        assert decode(family, app.policy) == value

    @pytest.mark.parametrize(("family", "value"), ALL)
    def test_a_policy_is_read_as_it_is(self, family: str, value: Any) -> None:
        assert decode(family, value) is value

    @pytest.mark.parametrize(("family", "value"), ALL)
    def test_it_is_frozen_and_survives_pickling(self, family: str, value: Any) -> None:
        assert pickle.loads(pickle.dumps(value)) == value
        for name in value.__struct_fields__:
            with pytest.raises(AttributeError):
                setattr(value, name, 1)

    @pytest.mark.parametrize("family", FAMILIES)
    def test_a_kind_alone_is_all_as_usual(self, family: str) -> None:
        for kind, cls in FAMILIES[family].items():
            try:
                expected = cls()
            except TypeError:  # a field that has no usual value
                with pytest.raises(PolicyError, match="is required|at least 1"):
                    decode(family, kind)
            else:
                assert decode(family, kind) == decode(family, {"kind": kind}) == expected

    @given(rate=st.floats(1e-9, 1e9), burst=st.integers(1, 10**9), per=st.sampled_from(["agent", "key", "global"]))
    def test_no_digit_is_lost(self, rate: float, burst: int, per: Any) -> None:
        value = TokenBucket(rate, burst, per)
        assert decode("rate-limit", json.loads(json.dumps(encode(value)))) == value

    @pytest.mark.parametrize("name", ["RateLimit", "Concurrency", "Queue", "Timeout", "Hedge", "Mailbox", "Balancing"])
    def test_the_unions_are_types_that_msgspec_reads_by_itself(self, name: str) -> None:
        union = getattr(policies, f"{name}Policy")
        values = next(values for values in SAMPLES.values() if type(values[0]) in get_args(union))
        assert {type(value) for value in values} == set(get_args(union))
        assert [msgspec.convert(encode(value), union) for value in values] == values


def test_the_kind_may_be_left_out_where_it_is_the_familys_name() -> None:
    assert decode("connections", {"per_agent": 3}) == Connections(per_agent=3)
    with pytest.raises(PolicyError, match="^connections.kind: must be one of connections; not 'hotel'"):
        decode("connections", {"kind": "hotel", "per_agent": 3}, "connections")


class TestParts:
    FAMILIES: ClassVar = {"limit": "rate-limit", "queue": "queue"}

    def test_each_part_is_read_and_none_is_required(self) -> None:
        assert decode_parts(self.FAMILIES, {"queue": "fifo"}) == {"queue": Fifo()}
        assert decode_parts(self.FAMILIES, {}) == {}

    @pytest.mark.parametrize(
        ("value", "message"),
        [
            ({"queu": "fifo"}, "policies.queu: is not known. Did you mean 'queue'?"),
            ({"queue": {"kind": "fifo", "bound": -1}}, "policies.queue.bound: must be"),
            ([], "policies: must be a table"),
        ],
    )
    def test_what_is_wrong_is_named(self, value: Any, message: str) -> None:
        with pytest.raises(PolicyError) as caught:
            decode_parts(self.FAMILIES, value, "policies")
        assert str(caught.value).startswith(message)


COUNTED = ("window", "concurrency")  # Gradient2 counts steps


class TestDocumentation:
    @pytest.mark.parametrize(("family", "value"), ALL)
    def test_each_time_and_rate_has_a_unit(self, family: str, value: Any) -> None:
        for name, annotation in annotations_of(type(value)).items():
            if any(word in name for word in ("rate", "seconds", "window", "timeout", "interval", "cooldown", "period")):
                assert "in s" in expects(annotation) or "in 1/s" in expects(annotation) or (name, family) == COUNTED

    def test_a_json_schema_can_be_made_of_all(self) -> None:
        for kinds in FAMILIES.values():
            for cls in kinds.values():
                assert msgspec.json.schema(cls)["$defs"]
