"""How soon all nodes agree: Phoenix.Tracker's timing, in a cluster that crashes, splits and heals."""

from __future__ import annotations

import pytest

from synapse.simulation.presence import Replication, Status
from tests.simulation.presence.cluster import LATENCY, Cluster

PERIOD = 1.5
SEEDS = range(12)


class TestJoinAndLeave:
    @pytest.mark.parametrize("seed", SEEDS)
    def test_who_joins_shows_everywhere_within_a_period_and_a_latency(self, seed: int) -> None:
        cluster = Cluster(seed)
        began = cluster.now
        tag = cluster.roster.join(2)
        assert cluster.convergence.fraction == pytest.approx(1 - 4 / 20)
        cluster.wait(2 * PERIOD)
        converged = cluster.convergence.converged_at(began)
        assert converged is not None
        assert converged - began <= PERIOD + LATENCY
        assert all(tag in cluster.roster.online(node) for node in cluster.nodes)

    @pytest.mark.parametrize("seed", SEEDS)
    def test_so_does_who_leaves(self, seed: int) -> None:
        cluster = Cluster(seed)
        began = cluster.now
        cluster.roster.leave(cluster.tags[0])
        cluster.wait(2 * PERIOD)
        converged = cluster.convergence.converged_at(began)
        assert converged is not None
        assert 0 < converged - began <= PERIOD + LATENCY

    def test_who_comes_and_goes_between_two_heartbeats_shows_nowhere_else(self) -> None:
        cluster = Cluster()
        began = len(cluster.convergence.times)
        cluster.roster.leave(cluster.roster.join(2))
        cluster.wait(20)
        assert set(cluster.convergence.right[began:]) <= {1.0, 1 - 4 / 20}
        assert cluster.convergence.times[-1] <= cluster.now - 20 + LATENCY

    def test_one_who_is_not_there_cannot_leave(self) -> None:
        cluster = Cluster()
        cluster.roster.leave(cluster.tags[0])
        with pytest.raises(KeyError):
            cluster.roster.leave(cluster.tags[0])


class TestCrash:
    @pytest.mark.parametrize("seed", SEEDS)
    def test_a_busy_node_that_crashes_is_down_within_a_period_of_the_down_period(self, seed: int) -> None:
        cluster = Cluster(seed, busy=True)
        began = cluster.now
        cluster.roster.crash(1)
        cluster.wait(35)
        downs = cluster.seen(Status.DOWN, began)
        assert len(downs) == 4
        assert all(30 - PERIOD <= down <= 30 + PERIOD + LATENCY for down in downs)
        assert all(cluster.shown(node, 1) == set() for node in cluster.nodes if node != 1)

    def test_an_idle_one_is_sooner_for_it_was_last_heard_of_longer_ago(self) -> None:
        """By up to 11 periods: from 30 - 16.5 s to 30 + 1.5 s, 22.5 s in the mean."""
        downs: list[float] = []
        for seed in range(60):
            cluster = Cluster(seed)
            began = cluster.now
            cluster.roster.crash(1)
            cluster.wait(35)
            found = cluster.seen(Status.DOWN, began)
            assert len(found) == 4
            downs += found
        assert min(downs) >= 30 - 11 * PERIOD
        assert max(downs) <= 30 + PERIOD + LATENCY
        assert min(downs) < 15 < 29 < max(downs)
        sigma = 11 * PERIOD / 12**0.5
        assert sum(downs) / len(downs) == pytest.approx(22.5, abs=3 * sigma / 60**0.5)

    def test_until_then_its_presences_are_shown_and_the_views_of_it_wrong(self) -> None:
        cluster = Cluster()
        began = cluster.now
        cluster.roster.crash(1)
        assert cluster.convergence.fraction == pytest.approx(1 - 4 / 16)
        cluster.wait(13)
        assert all(len(cluster.shown(node, 1)) == 4 for node in cluster.nodes if node != 1)
        cluster.wait(20)
        assert cluster.convergence.fraction_at(began + 13) == pytest.approx(0.75)
        assert cluster.convergence.fraction == 1.0

    @pytest.mark.parametrize("seed", SEEDS)
    def test_one_that_is_back_soon_is_known_by_its_first_heartbeat(self, seed: int) -> None:
        cluster = Cluster(seed)
        cluster.roster.crash(1)
        cluster.wait(3)
        began = cluster.now
        cluster.roster.restart(1)
        cluster.wait(PERIOD / 4 + LATENCY)
        assert cluster.seen(Status.PERMDOWN, began) == cluster.seen(Status.UP, began, of=1)
        assert len(cluster.seen(Status.UP, began, of=1)) == 4
        assert all(cluster.shown(node, 1) == set() for node in cluster.nodes if node != 1)

    @pytest.mark.parametrize("seed", SEEDS)
    def test_but_it_knows_the_others_only_by_theirs_and_an_exchange(self, seed: int) -> None:
        """In an idle cluster the last of them is heard after up to 11 periods; it asks within two more."""
        cluster = Cluster(seed)
        cluster.roster.crash(1)
        cluster.wait(3)
        began = cluster.now
        cluster.roster.restart(1)
        assert cluster.roster.online(1) == set()
        cluster.wait(11 * PERIOD + 2 * PERIOD + 1)
        converged = cluster.convergence.converged_at(began)
        assert converged is not None
        assert PERIOD < converged - began <= 13 * PERIOD + 3 * LATENCY

    @pytest.mark.parametrize("seed", SEEDS[:4])
    def test_one_that_takes_leave_is_gone_at_once(self, seed: int) -> None:
        cluster = Cluster(seed)
        began = cluster.now
        cluster.roster.stop(1)
        cluster.wait(1)
        assert max(cluster.seen(Status.PERMDOWN, began)) <= LATENCY
        assert len(cluster.seen(Status.PERMDOWN, began)) == 4
        assert cluster.convergence.fraction == 1.0

    def test_after_the_permdown_period_it_is_forgotten(self) -> None:
        cluster = Cluster(policy=Replication(permdown_period=60))
        began = cluster.now
        cluster.roster.crash(1)
        cluster.wait(59 - 11 * PERIOD)
        assert cluster.seen(Status.PERMDOWN, began) == []
        cluster.wait(11 * PERIOD + 3)
        assert len(cluster.seen(Status.PERMDOWN, began)) == 4
        assert len(cluster.seen(Status.DOWN, began)) == 4

    def test_crash_and_restart_are_of_no_effect_twice(self) -> None:
        cluster = Cluster()
        cluster.roster.crash(1)
        cluster.roster.crash(1)
        cluster.roster.stop(1)
        assert not cluster.roster.running(1)
        cluster.roster.leave(cluster.tags[4])  # who was at 1 has gone with it
        cluster.roster.restart(1)
        cluster.roster.restart(1)
        assert cluster.roster.running(1)
        cluster.wait(40)
        assert cluster.convergence.fraction == 1.0


class TestNetsplit:
    def split(self, cluster: Cluster, seconds: float) -> None:
        cluster.links.split([(0, 1), (2, 3, 4)])
        cluster.wait(seconds)

    @pytest.mark.parametrize("seed", SEEDS)
    def test_each_side_hides_the_other_after_the_down_period(self, seed: int) -> None:
        cluster = Cluster(seed, busy=True)
        began = cluster.now
        self.split(cluster, 35)
        downs = cluster.seen(Status.DOWN, began)
        assert len(downs) == 2 * 2 * 3
        assert all(30 - PERIOD <= down <= 30 + PERIOD + LATENCY for down in downs)
        assert cluster.shown(0, 2) == set()
        assert cluster.shown(2, 4) != set()

    @pytest.mark.parametrize("seed", SEEDS)
    def test_healed_each_shows_again_with_the_first_heartbeat(self, seed: int) -> None:
        cluster = Cluster(seed)
        self.split(cluster, 100)
        assert cluster.convergence.fraction == pytest.approx(1 - 12 / 20)
        began = cluster.now
        cluster.links.heal()
        cluster.wait(11 * PERIOD + LATENCY)
        assert cluster.convergence.fraction == 1.0
        assert cluster.links.sent > 0
        ups = cluster.seen(Status.UP, began)
        assert len(ups) == 12
        assert cluster.convergence.converged_at(began) == began + max(ups)

    @pytest.mark.parametrize("seed", SEEDS)
    def test_what_has_happened_meanwhile_comes_with_one_exchange_of_clocks(self, seed: int) -> None:
        """Busy nodes: a heartbeat within a period, a question within two, an answer at once."""
        cluster = Cluster(seed)
        self.split(cluster, 100)
        cluster.roster.leave(cluster.tags[0])
        new = [cluster.roster.join(1), cluster.roster.join(3)]
        cluster.wait(10)
        began = cluster.now
        cluster.links.heal()
        last = [cluster.roster.join(node) for node in cluster.nodes]
        cluster.wait(10)
        converged = cluster.convergence.converged_at(began)
        assert converged is not None
        assert converged - began <= PERIOD + 2 * PERIOD + 3 * LATENCY
        for node in cluster.nodes:
            assert cluster.roster.online(node) == {*cluster.tags[1:], *new, *last}

    def test_a_short_one_hides_nothing_and_what_was_missed_is_asked_for(self) -> None:
        cluster = Cluster(busy=True)
        self.split(cluster, 5)
        missed = cluster.roster.join(0)
        cluster.wait(5)
        assert missed not in cluster.roster.online(4)
        cluster.links.heal()
        cluster.wait(PERIOD + 2 * PERIOD + 3 * LATENCY)
        assert missed in cluster.roster.online(4)
        cluster.wait(60)
        assert cluster.seen(Status.DOWN, 0) == []

    def test_an_idle_node_of_which_one_heartbeat_is_lost_is_down_for_a_moment(self) -> None:
        """Two silences of 16.5 s are longer than the down period of 30 s. Phoenix's own numbers have this."""
        cluster = Cluster()
        began = cluster.now
        self.split(cluster, 11 * PERIOD)
        cluster.links.heal()
        cluster.wait(40)
        downs, ups = cluster.seen(Status.DOWN, began), cluster.seen(Status.UP, began)
        assert len(downs) == len(ups) == 12
        assert all(up - down <= 2 * PERIOD + LATENCY for down, up in zip(sorted(downs), sorted(ups), strict=True))
        assert cluster.convergence.fraction == 1.0

    def test_it_is_not_with_a_longer_down_period(self) -> None:
        cluster = Cluster(policy=Replication(down_period=36))
        began = cluster.now
        self.split(cluster, 11 * PERIOD)
        cluster.links.heal()
        cluster.wait(40)
        assert cluster.seen(Status.DOWN, began) == []

    def test_one_that_lasts_until_the_others_are_forgotten_heals_too(self) -> None:
        cluster = Cluster(policy=Replication(permdown_period=60))
        self.split(cluster, 100)
        assert len(cluster.seen(Status.PERMDOWN, 40)) == 12
        cluster.links.heal()
        cluster.wait(13 * PERIOD + 3 * LATENCY)
        assert cluster.convergence.fraction == 1.0


def test_a_cluster_that_starts_converges_within_a_silence_and_an_exchange() -> None:
    cluster = Cluster(settle=0)
    assert cluster.convergence.fraction == 0.0
    cluster.wait(14 * PERIOD)
    assert cluster.convergence.fraction == 1.0


def test_the_fraction_of_right_views_is_a_step_function_of_time() -> None:
    cluster = Cluster(busy=True)
    convergence = cluster.convergence
    assert convergence.times == sorted(set(convergence.times))
    assert all(0 <= fraction <= 1 for fraction in convergence.right)
    middle = len(convergence.times) // 2
    at, after = convergence.times[middle : middle + 2]
    assert convergence.fraction_at(at) == convergence.fraction_at((at + after) / 2) == convergence.right[middle]
    assert convergence.converged_at(cluster.now + 1) in (None, cluster.now + 1)


def test_the_same_seed_gives_the_same_history() -> None:
    one, other, third = (Cluster(seed, busy=True, loss=0.1) for seed in (5, 5, 6))
    assert one.convergence.seen == other.convergence.seen
    assert one.convergence.times == other.convergence.times
    assert one.convergence.times != third.convergence.times
