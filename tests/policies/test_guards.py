"""Retry budgets, adaptive throttling and circuit breakers: what they let through."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse.policies import AdaptiveThrottle, CircuitBreaker, Rejected, RetryBudget


class TestRetryBudget:
    @given(
        attempts=st.lists(st.integers(1, 4), max_size=300),
        ratio=st.sampled_from([0.0, 0.1, 0.2, 1.0]),
        burst=st.integers(1, 10),
    )
    def test_retries_never_exceed_their_share_of_the_queries_and_what_was_saved(
        self, attempts: list[int], ratio: float, burst: int
    ) -> None:
        state = RetryBudget(ratio, burst).start(0.0)
        queries = retries = 0
        for attempt in attempts:
            admitted = bool(state.admit(0.0, attempt=attempt))
            queries += attempt == 1
            retries += admitted and attempt > 1
            assert admitted or attempt > 1
            assert retries <= burst + ratio * queries + 1e-6
            assert -1e-6 <= state.balance <= burst

    def test_what_is_saved_is_spent_in_whole_retries(self) -> None:
        state = RetryBudget(ratio=0.1, burst=1).start(0.0)
        assert state.admit(0.0, attempt=2)
        assert state.admit(0.0, attempt=2) == Rejected(None, "retry-budget")
        for _ in range(10):
            assert state.admit(0.0, attempt=1)
        assert state.admit(0.0, attempt=2)

    @pytest.mark.parametrize(("failure", "plain"), [(0.1, 1.111), (0.2, 1.248), (0.5, 1.875)])
    def test_it_bounds_the_amplification_that_retries_alone_would_have(self, failure: float, plain: float) -> None:
        """Three retries: (1 - p^4) / (1 - p) calls a query. With a tenth of a budget at most 1.1."""
        random = np.random.default_rng(4)
        state = RetryBudget(ratio=0.1, burst=10).start(0.0)
        calls = {"plain": 0, "budget": 0}
        queries = 20_000
        for _ in range(queries):
            failed = (random.random(4) < failure).tolist()
            for name in calls:
                for attempt in range(1, 5):
                    if name == "budget" and not state.admit(0.0, attempt=attempt):
                        break
                    calls[name] += 1
                    if not failed[attempt - 1]:
                        break
        assert calls["plain"] / queries == pytest.approx(plain, abs=0.02)
        assert calls["budget"] / queries <= min(plain + 0.02, 1.1 + 10 / queries)

    def test_another_goes_on_with_what_is_left(self) -> None:
        state = RetryBudget(ratio=0.1, burst=10).start(0.0)
        for _ in range(10):
            state.admit(0.0, attempt=2)
        assert not RetryBudget(ratio=0.2, burst=20).start(0.0, state).admit(0.0, attempt=2)


class TestAdaptiveThrottle:
    def test_while_all_is_taken_up_nothing_is_refused(self) -> None:
        state = AdaptiveThrottle().start(0.0)
        for now in range(1000):
            assert state.admit(float(now), 0.0)
            state.on_success(float(now))

    def test_the_chance_of_a_refusal_is_that_of_the_book(self) -> None:
        state = AdaptiveThrottle(k=2, window=120).start(0.0)
        for number in range(100):
            state.admit(0.0, 0.999)
            if number < 20:
                state.on_success(0.0)
        assert state.refusal(0.0) == (100 - 2 * 20) / 101
        assert not state.admit(0.0, 0.59)
        assert state.admit(0.0, 0.62)

    @pytest.mark.parametrize("k", [1.1, 1.5, 2.0])
    def test_the_other_side_is_sent_k_times_what_it_takes_up(self, k: float) -> None:
        """It can do 10 a second of the 100 that are offered: at 2 one refusal for each accept, at 1.1 one for ten."""
        random = np.random.default_rng(6)
        state = AdaptiveThrottle(k=k, window=60).start(0.0)
        sent = accepted = 0
        for tick, u in enumerate(random.random(60_000).tolist()):
            now = tick / 100
            if tick % 10 == 0:
                room = 1
            if state.admit(now, u):
                sent += now > 120
                if room:
                    room = 0
                    accepted += now > 120
                    state.on_success(now)
                else:
                    state.on_failure(now)
        assert sent / accepted == pytest.approx(k, rel=0.1)

    def test_what_was_long_ago_is_forgotten(self) -> None:
        state = AdaptiveThrottle(window=120).start(0.0)
        for _ in range(100):
            state.admit(0.0, 0.999)
        assert state.refusal(100.0) > 0.9
        assert state.refusal(131.0) == 0.0
        assert state.seen.total == 0
        assert len(state.seen._parts) <= 2

    @given(times=st.lists(st.floats(-1e6, 1e6), max_size=100))
    def test_time_may_go_where_it_likes(self, times: list[float]) -> None:
        state = AdaptiveThrottle(window=12).start(0.0)
        for now in times:
            state.admit(now, 0.5)
            state.on_success(now)
            assert 0.0 <= state.refusal(now) <= 1.0
            assert len(state.seen._parts) <= 13
            assert state.seen.total == sum(part[1] for part in state.seen._parts)

    def test_another_goes_on_with_its_history(self) -> None:
        state = AdaptiveThrottle().start(0.0)
        for _ in range(100):
            state.admit(0.0, 0.999)
        assert AdaptiveThrottle(k=1.5).start(0.0, state).refusal(0.0) > 0.9
        assert AdaptiveThrottle(window=1).start(0.0, state).refusal(0.0) == 0.0


class TestCircuitBreaker:
    POLICY = CircuitBreaker(threshold=0.5, least=4, window=10, cooldown=5)

    def opened(self, **fields: Any) -> Any:
        state = CircuitBreaker(**{"threshold": 0.5, "least": 4, "window": 10, "cooldown": 5, **fields}).start(0.0)
        for _ in range(4):
            assert state.admit(0.0)
            state.on_failure(0.0)
        assert state.state(0.0) == "open"
        return state

    def test_it_is_closed_as_long_as_few_fail(self) -> None:
        state = self.POLICY.start(0.0)
        for now in range(100):
            assert state.admit(now)
            state.on_failure(now) if now % 3 == 2 else state.on_success(now)
        assert state.state(100) == "closed"

    def test_it_does_not_open_before_it_has_seen_enough(self) -> None:
        state = self.POLICY.start(0.0)
        for _ in range(3):
            state.on_failure(0.0)
        assert state.state(0.0) == "closed"
        state.on_failure(0.0)
        assert state.state(0.0) == "open"

    def test_it_opens_when_exactly_the_share_has_failed(self) -> None:
        state = self.POLICY.start(0.0)
        for outcome in (state.on_success, state.on_failure, state.on_success):
            outcome(0.0)
        assert state.state(0.0) == "closed"
        state.on_failure(0.0)
        assert state.state(0.0) == "open"

    def test_open_it_refuses_all_and_says_until_when(self) -> None:
        state = self.opened()
        assert state.admit(2.0) == Rejected(3.0, "circuit-breaker")
        assert state.admit(4.999).retry_after == pytest.approx(0.001)
        assert state.admit(5.0)

    def test_half_open_it_lets_one_probe_through(self) -> None:
        state = self.opened()
        assert state.state(5.0) == "half-open"
        assert [bool(state.admit(5.0)) for _ in range(3)] == [True, False, False]

    def test_a_probe_that_succeeds_closes_it(self) -> None:
        state = self.opened()
        state.admit(5.0)
        state.on_success(6.0)
        assert state.state(6.0) == "closed"
        state.on_failure(6.0)
        assert state.state(6.0) == "closed"  # what was before is forgotten

    def test_a_probe_that_fails_opens_it_again(self) -> None:
        state = self.opened()
        state.admit(5.0)
        state.on_failure(6.0)
        assert state.admit(10.9).retry_after == pytest.approx(0.1)
        assert state.admit(11.0)

    def test_several_probes_must_all_succeed(self) -> None:
        state = self.opened(probes=3)
        assert [bool(state.admit(5.0)) for _ in range(4)] == [True, True, True, False]
        state.on_success(5.1)
        state.on_success(5.1)
        assert state.state(5.1) == "half-open"
        assert not state.admit(5.1)
        state.on_success(5.1)
        assert state.state(5.1) == "closed"

    def test_a_probe_that_is_never_heard_of_does_not_keep_it_half_open_for_ever(self) -> None:
        state = self.opened()
        assert state.admit(5.0)
        assert not state.admit(9.9)
        assert state.admit(10.0)

    def test_what_ends_while_it_is_open_does_not_count(self) -> None:
        state = self.opened()
        state.on_success(1.0)
        state.on_failure(1.0)
        assert state.admit(2.0).retry_after == pytest.approx(3.0)

    def test_failures_of_long_ago_do_not_count(self) -> None:
        state = self.POLICY.start(0.0)
        for _ in range(3):
            state.on_failure(0.0)
        state.on_failure(11.0)
        assert state.state(11.0) == "closed"

    def test_another_is_open_as_long_as_it_would_have_been(self) -> None:
        assert self.POLICY.start(1.0, self.opened()).admit(2.0).retry_after == pytest.approx(3.0)

    @given(script=st.lists(st.tuples(st.floats(-3, 3), st.sampled_from(["ask", "good", "bad"])), max_size=100))
    def test_an_open_one_always_tells_when_it_will_answer_otherwise(self, script: list[tuple[float, str]]) -> None:
        state, now = self.POLICY.start(0.0), 0.0
        for gap, what in script:
            now += gap
            if what == "good":
                state.on_success(now)
            elif what == "bad":
                state.on_failure(now)
            else:
                verdict = state.admit(now)
                if state.state(now) == "open":
                    assert not verdict
                    assert state.state(now + (verdict.retry_after or 0)) == "half-open"
