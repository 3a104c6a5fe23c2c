"""A scenario is a value: what a file says, what Python says, and what is wrong with either."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from types import NoneType
from typing import Any, get_args

import msgspec
import pytest

from synapse.policies import Fifo, FixedTimeout, FullJitter, PolicyError, PowerOfTwo, TokenBucket
from synapse.policies.decode import FAMILIES
from synapse.policies.fields import annotations_of
from synapse.simulation import Agents, Cluster, Connection, Kind, Node, Presence, Readers, Scenario, ScenarioError
from synapse.simulation.distributions import Exponential, Lognormal
from synapse.simulation.faults import SlowDown
from synapse.simulation.spec.section import OURS

HALF_A_PAGE = """
duration = 60                     # s
warmup   = 10                     # s
[agents]
count   = 2000
think   = {kind = "exponential", mean = 10}                            # s
timeout = {kind = "fixed", seconds = 1.0}
retry   = {kind = "full-jitter", base = 0.1, cap = 10, tries = 5}      # s
[cluster]
nodes     = 4
balancing = {kind = "power-of-two"}
[node]
slots      = 3
service    = {kind = "lognormal", mean = 0.05, cv = 1.0}               # s
queue      = {kind = "fifo", bound = 240}
rate_limit = {kind = "token-bucket", rate = 0.5, burst = 3, per = "agent"}
[[faults]]
kind = "slow-down"
at = 20                           # s
width = 5                         # s
factor = 4
"""

EVERYTHING = """
warmup = 0
[agents]
arrivals = {kind = "mmpp", rates = [10, 100], stays = [5, 1]}
on_timeout = "interrupt"
patience = {kind = "uniform", low = 0.5, high = 1.0}
give_up_after = 9
retry_on = ["rejected"]
budget = {kind = "retry-budget", ratio = 0.2}
[[agents.kinds]]
name = "gold"
priority = 0
key = 'a "quoted" \\ key'
[[agents.kinds]]
name = "öffentlich"
share = 9
timeout = {kind = "adaptive"}
[agents.connection]
lifetime = {kind = "empirical", sample = [1, 2.5]}
[agents.reading]
rate = 5
[cluster]
per = "connection"
[node]
thoughts = 3
gap = {kind = "pareto", mean = 0.1}
stops = false
concurrency = {kind = "aimd"}
queue = {kind = "fair-share", weights = {gold = 2}}
rate_limit = {kind = "all", policies = [{kind = "gcra", rate = 5, burst = 1}, {kind = "unlimited"}]}
[presence]
loss = 0.01
"""


class TestFiles:
    def test_half_a_page_is_a_scenario(self) -> None:
        scenario = Scenario.from_toml(HALF_A_PAGE)
        assert scenario == Scenario(
            agents={
                "count": 2000,
                "think": Exponential(10),
                "timeout": FixedTimeout(1),
                "retry": FullJitter(base=0.1, cap=10, tries=5),
            },
            cluster={"nodes": 4, "balancing": PowerOfTwo()},
            node={
                "slots": 3,
                "service": Lognormal(0.05, 1),
                "queue": Fifo(240),
                "rate_limit": TokenBucket(0.5, 3, "agent"),
            },
            faults=[SlowDown(at=20, width=5, factor=4)],
        )

    def test_an_empty_file_is_a_scenario(self) -> None:
        assert Scenario.from_toml("") == Scenario()

    @pytest.mark.parametrize("text", ["", HALF_A_PAGE, EVERYTHING], ids=["empty", "half a page", "everything"])
    def test_what_is_written_reads_the_same(self, text: str, tmp_path: Path) -> None:
        scenario = Scenario.from_toml(text)
        scenario.save(tmp_path / "scenario.toml")
        assert Scenario.load(tmp_path / "scenario.toml") == scenario

    def test_a_slowness_without_an_end_still_has_none(self) -> None:
        scenario = Scenario(faults=[{"kind": "slow-node", "at": 0, "width": None}])
        assert Scenario.from_toml(scenario.to_toml()).faults == scenario.replace(duration=70).faults == scenario.faults

    def test_what_may_be_absent_is_so_unless_it_is_said(self) -> None:
        """What is absent is not written, so that it must be absent where nothing is written."""
        kinds = [kind for families in (FAMILIES, OURS) for family in families.values() for kind in family.values()]
        sections = [Scenario, Agents, Kind, Connection, Readers, Cluster, Node, Presence]
        for cls in (*kinds, *sections):
            for field in msgspec.structs.fields(cls):
                may_be_absent = NoneType in get_args(annotations_of(cls)[field.name])
                assert not may_be_absent or field.default is None, f"{cls.__name__}.{field.name}"

    def test_what_is_written_has_units(self) -> None:
        text = Scenario.from_toml(HALF_A_PAGE).to_toml()
        for line in (
            "duration = 60.0  # s",
            'think = {kind = "exponential", mean = 10.0}  # mean in s',
            "at = 20.0  # s",
            "factor = 4.0",
        ):
            assert line in text.splitlines()
        assert "base, cap in s" in text
        assert "rate in 1/s" in text

    def test_a_list_that_is_empty_on_purpose_stays_so(self) -> None:
        scenario = Scenario(agents={"retry_on": []})
        assert Scenario.from_toml(scenario.to_toml()) == scenario

    def test_files_that_it_names_stand_beside_it(self, tmp_path: Path) -> None:
        (tmp_path / "service.txt").write_text("0.25\n")
        (tmp_path / "x.toml").write_text('[node]\nservice = {kind = "empirical", file = "service.txt"}\n')
        assert Scenario.load(tmp_path / "x.toml").node.service.mean == 0.25

    def test_a_file_that_is_no_text_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "x.toml").write_bytes(b"\xff\xfe")
        with pytest.raises(ScenarioError, match="x.toml: is no text in UTF-8"):
            Scenario.load(tmp_path / "x.toml")

    def test_an_error_names_the_file_too(self, tmp_path: Path) -> None:
        file = tmp_path / "bad.toml"
        file.write_text("[node]\nslots = 0\n")
        with pytest.raises(ScenarioError) as caught:
            Scenario.load(file)
        assert str(caught.value) == f"{file}: node.slots: must be a whole number >= 1 and <= 1000000; not 0"
        assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


class TestInANotebook:
    def test_it_shows_what_is_not_as_usual(self) -> None:
        assert repr(Scenario()) == "Scenario()"
        assert repr(Scenario(duration=30, agents={"count": 5})) == "Scenario(duration=30.0, agents=Agents(count=5))"
        assert repr(Scenario(agents={"kinds": [{"name": "a"}]}).agents.kinds) == "(Kind(name='a'),)"

    def test_it_shows_all_of_it_with_what_is_not_as_usual_in_bold(self) -> None:
        shown = Scenario(agents={"count": 5, "key": "<b>"}, faults=[SlowDown(at=20)])._repr_html_()
        assert "<b>count = 5</b>" in shown
        assert shown.startswith("<pre>duration = 60.0  # s\nwarmup")
        assert "<b>key = &quot;&lt;b&gt;&quot;</b>" in shown
        assert "<b>[[faults]]</b>" in shown


class TestErrors:
    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ("x", "is no TOML: Expected '=' after a key"),
            ("[agents]\ntimeout = 2", "agents.timeout: must be a table with a kind: none, fixed, "),
            ("duration = -1", "duration: must be a number > 0 and <= 1e+09, in s; not -1"),
            ("duration = 5", "warmup: must be shorter than `duration`, 5 s; not 10"),
            ("durations = 1", "durations: is not known. Did you mean 'duration'?"),
            ("agents = 1", "agents: must be a table; not 1"),
            ("[agents]\nxyz = 3", "agents.xyz: is not known; known are count, arrivals, think"),
            (
                "[agents]\nthink = 3",
                "agents.think: must be a table with a kind: exponential, deterministic, uniform, erlang",
            ),
            (
                "[agents]\nthink = {kind = 'exponential'}",
                "agents.think.mean: is required: a number > 0 and <= 1e+09, in s",
            ),
            ("[agents]\nthink = {kind = 'exp'}", "agents.think.kind: must be one of exponential, deterministic"),
            (
                "[agents]\nretry = {kind = 'full-jitter', base = 5, cap = 1}",
                "agents.retry.base: must be at most `cap`, 1 s; not 5",
            ),
            (
                "[agents]\nretry_on = ['x']",
                "agents.retry_on[0]: must be one of 'rejected', 'timeout', 'error'; not 'x'",
            ),
            (
                "[agents]\non_timeout = 'x'",
                "agents.on_timeout: must be one of 'leave', 'interrupt', 'deadline'; not 'x'",
            ),
            (
                "[agents]\narrivals = {kind = 'mmpp', rates = [1, 2], stays = [1]}",
                "agents.arrivals.stays: must be a list of at least 2",
            ),
            ("[[agents.kinds]]\nshare = 1", "agents.kinds[0].name: is required: a text"),
            ("[[agents.kinds]]\nname='a'\n[[agents.kinds]]\nname='a'", "agents.kinds[1].name: must be its own; 'a'"),
            (
                "[agents]\ncount=1\nkinds=[{name='a'},{name='b'}]",
                "agents.count: must be at least the number of kinds, 2",
            ),
            ("[agents]\nkinds = 'gold'", "agents.kinds: must be a list; not 'gold'"),
            ("[node]\nqueue = 'fifi'", "node.queue.kind: must be one of fifo, lifo"),
            ("[cluster]\nnodes = 0", "cluster.nodes: must be a whole number >= 1 and <= 10000; not 0"),
            ("[[faults]]\nkind = 'slow-dawn'", "faults[0].kind: must be one of node-crash"),
            ("[[faults]]\nkind = 'slow-down'", "faults[0].at: is required, or rate"),
            (
                "faults = [{kind = 'reconnect-herd', at = 1}]",
                "faults[0]: breaks connections: write [agents.connection]",
            ),
            (
                "[cluster]\nnodes = 2\n[[faults]]\nkind = 'netsplit'\nat = 1\ngroups = [[0]]",
                "faults[0]: parts what nodes say of presence: write [presence]",
            ),
            (
                "[[faults]]\nkind = 'node-crash'\nat = 1\nnode = 1",
                "faults[0].node: must name nodes that there are, 0 to 0",
            ),
        ],
    )
    def test_they_name_the_path_the_field_and_the_range(self, text: str, problem: str) -> None:
        with pytest.raises(PolicyError) as caught:
            Scenario.from_toml(text)
        assert str(caught.value).startswith(problem)


class TestReplace:
    @pytest.mark.parametrize(
        ("name", "value", "seen"),
        [
            ("duration", 90, lambda scenario: scenario.duration == 90.0),
            ("agents.timeout", {"kind": "fixed", "seconds": 2}, lambda it: it.agents.timeout == FixedTimeout(2)),
            ("agents.timeout", FixedTimeout(2), lambda it: it.agents.timeout == FixedTimeout(2)),
            ("agents.timeout.seconds", 2, lambda it: it.agents.timeout == FixedTimeout(2)),
            ("agents.retry", "none", lambda it: it.agents.retry.next_delay(1, 0, 0) is None),
            ("faults[0].at", 30, lambda it: it.faults[0].at == 30.0),
            ("faults", [], lambda it: it.faults == ()),
            ("agents.connection.accepts", 5, lambda it: it.agents.connection.accepts == 5),
        ],
    )
    def test_a_dotted_name_reaches_any_value(self, name: str, value: Any, seen: Any) -> None:
        scenario = Scenario.from_toml(HALF_A_PAGE)
        changed = scenario.replace({name: value})
        assert seen(changed)
        assert changed != scenario

    def test_plain_names_do_as_well(self) -> None:
        assert Scenario().replace(duration=90, warmup=0).duration == 90.0

    def test_none_takes_away(self) -> None:
        scenario = Scenario().replace({"agents.give_up_after": 3})
        assert scenario.replace({"agents.give_up_after": None}) == Scenario()

    @pytest.mark.parametrize(
        ("name", "problem"),
        [
            ("agents.cuont", "agents.cuont: is not known. Did you mean 'count'?"),
            ("faults[3].at", r"faults\[3\].at: names none of 1 in the list"),
            ("faults.at", "faults.at: names none of 1 in the list"),
            ("duration.x", "duration.x: names no field: 'duration' has none"),
            ("", "a value without a name"),
        ],
    )
    def test_a_name_of_nothing_is_an_error(self, name: str, problem: str) -> None:
        with pytest.raises(PolicyError, match=problem):
            Scenario.from_toml(HALF_A_PAGE).replace({name: 1})


class TestKey:
    def test_it_is_the_same_in_any_process(self) -> None:
        program = "from synapse.simulation import Scenario; print(Scenario(duration=30).key)"
        seen = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
        assert seen.strip() == Scenario(duration=30).key

    def test_it_tells_scenarios_apart(self) -> None:
        scenarios = [Scenario(), Scenario(duration=30), Scenario.from_toml(HALF_A_PAGE), Scenario.from_toml(EVERYTHING)]
        assert len({scenario.key for scenario in scenarios}) == len(scenarios)

    def test_what_a_file_holds_counts_and_not_where_it_is(self, tmp_path: Path) -> None:
        keys = []
        for folder, text in (("a", "1\n"), ("b", "1\n"), ("c", "2\n")):
            (tmp_path / folder).mkdir()
            file = tmp_path / folder / "service.txt"
            file.write_text(text)
            keys.append(Scenario(node={"service": {"kind": "empirical", "file": str(file)}}).key)
        assert keys[0] == keys[1] != keys[2]


class TestKinds:
    def test_shares_add_up_to_all_agents(self) -> None:
        scenario = Scenario(agents={"count": 10, "kinds": [{"name": name} for name in "abc"]})
        assert [(kind.name, count) for kind, count in scenario.agents.each_kind()] == [("a", 4), ("b", 3), ("c", 3)]

    def test_what_a_kind_does_not_say_is_as_for_all(self) -> None:
        scenario = Scenario(agents={"priority": 3, "kinds": [{"name": "a"}, {"name": "b", "priority": 1}]})
        assert [kind.priority for kind, _ in scenario.agents.each_kind()] == [3, 1]


def test_changes_are_left_as_they_were() -> None:
    changes = {"node.queue": {"kind": "fifo", "bound": 9}, "node.queue.bound": 5}
    assert Scenario().replace(changes).node.queue == Fifo(5)
    assert changes == {"node.queue": {"kind": "fifo", "bound": 9}, "node.queue.bound": 5}
