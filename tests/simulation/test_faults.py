"""What can go wrong, as values: read like policies, refused with the field and what it may be."""

from __future__ import annotations

import json
import tomllib
from typing import Any, get_args

import pytest

from synapse.policies import PolicyError, encode
from synapse.simulation import faults
from synapse.simulation.faults import (
    DependencySlowDown,
    LoadPulse,
    Netsplit,
    NodeCrash,
    ReconnectHerd,
    SlowDown,
    SlowNode,
)

SAMPLES: list[faults.Fault] = [
    NodeCrash(at=20, node=1, restart_after=5),
    NodeCrash(rate=0.1),
    SlowNode(at=0, node=0, factor=10),
    SlowDown(at=20, width=5, factor=4),
    DependencySlowDown(rate=1, share=0.8),
    Netsplit(at=3, groups=((0, 1), (2,)), heal_after=60),
    LoadPulse(at=1, factor=0.5),
    ReconnectHerd(at=9, share=0.3),
]


def test_every_kind_has_a_sample() -> None:
    assert {type(fault) for fault in SAMPLES} == set(get_args(faults.Fault))


@pytest.mark.parametrize("fault", SAMPLES)
def test_what_is_encoded_is_read_back(fault: faults.Fault) -> None:
    assert faults.decode(json.loads(json.dumps(encode(fault)))) == fault
    assert faults.decode(fault) is fault


def test_they_are_read_from_toml() -> None:
    table = tomllib.loads("""
        [[faults]]
        kind = "slow-down"
        at = 20                           # s
        width = 5                         # s
        factor = 4

        [[faults]]
        kind = "netsplit"
        rate = 0.01                       # 1/s
        groups = [[0, 1], [2]]
    """)
    assert faults.decode_all(table["faults"]) == (
        SlowDown(at=20, width=5, factor=4),
        Netsplit(rate=0.01, groups=((0, 1), (2,))),
    )


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"at": 1}, r"x\.kind: must be one of node-crash, slow-node, .*; not None"),
        ({"kind": "slowdown", "at": 1}, "x.kind: must be one of .*; not 'slowdown'. Did you mean 'slow-down'?"),
        ("slow-down", "x: must be a table with a kind: node-crash, slow-node"),
        (
            {"kind": "slow-down"},
            "x.at: is required, or rate, and not both: when it happens, in s, or how often, in 1/s",
        ),
        ({"kind": "slow-down", "at": 1, "rate": 1}, "x.at: is required, or rate, and not both"),
        ({"kind": "slow-down", "at": -1}, r"x.at: must be a number >= 0 and <= 1e\+09, in s or null; not -1"),
        ({"kind": "slow-down", "rate": 0}, r"x.rate: must be a number > 0 and <= 1e\+09, in 1/s or null; not 0"),
        ({"kind": "slow-down", "at": 1, "factor": 0}, r"x.factor: must be a number > 0 and <= 1e\+06; not 0"),
        ({"kind": "slow-down", "at": 1, "node": 1}, "x.node: is no field of 'slow-down', which has at, rate, factor"),
        ({"kind": "node-crash", "at": 1, "node": -1}, "x.node: must be a whole number >= 0 and <= 1000000000 or null"),
        ({"kind": "dependency-slow-down", "at": 1, "share": 2}, "x.share: must be a number >= 0 and <= 1; not 2"),
        ({"kind": "reconnect-herd", "at": 1, "share": 0}, "x.share: must be a number > 0 and <= 1; not 0"),
        ({"kind": "netsplit", "at": 1}, "x.groups: is required: a list of at least 1 and at most 10000, each a list"),
        ({"kind": "netsplit", "at": 1, "groups": []}, "x.groups: must be a list of at least 1"),
        ({"kind": "netsplit", "at": 1, "groups": [[0], []]}, r"x.groups\[1\]: must be a list of at least 1"),
        ({"kind": "netsplit", "at": 1, "groups": [[0], [1, "b"]]}, r"x.groups\[1\]\[1\]: must be a whole number >= 0"),
        (
            {"kind": "netsplit", "at": 1, "groups": [[0, 1], [1]]},
            r"x.groups\[1\]: has node 1, which must be named once",
        ),
    ],
)
def test_a_table_that_makes_no_sense_is_refused(value: Any, words: str) -> None:
    with pytest.raises(PolicyError, match=f"^{words}"):
        faults.decode(value, "x")


def test_a_list_says_which_of_it_makes_no_sense() -> None:
    with pytest.raises(PolicyError, match=r"faults\[1\]\.at: is required"):
        faults.decode_all([{"kind": "slow-down", "at": 1}, {"kind": "slow-down"}])
    with pytest.raises(PolicyError, match="faults: must be a list of faults; not {'kind': 'slow-down'}"):
        faults.decode_all({"kind": "slow-down"})


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (NodeCrash(at=1, node=4), r"faults\[1\].node: must name nodes that there are, 0 to 3; not 4"),
        (SlowNode(at=1, node=9), r"faults\[1\].node: must name nodes that there are, 0 to 3; not 9"),
        (Netsplit(at=1, groups=((0,), (1, 5))), r"faults\[1\].groups\[1\]: must name nodes that there are.*not 5"),
    ],
)
def test_a_node_that_is_not_there_is_refused(fault: faults.Fault, words: str) -> None:
    faults.check(SAMPLES, 4)
    with pytest.raises(PolicyError, match=words):
        faults.check([SAMPLES[0], fault], 4)
