"""Under Poisson arrivals each rate limit admits the share that queueing theory says, within 3 standard errors.

Exact values: token bucket and GCRA are M/D/1/burst loss, the sliding log is M/D/limit/limit (Erlang B), the fixed
window is E[min(limit, Poisson)]. The sliding counter has no closed form: its values were simulated, to +-.0003.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
import pytest

from synapse.policies import GCRA, FixedWindow, SlidingCounter, SlidingLog, TokenBucket

ARRIVALS, BATCHES = 200_000, 40

BUCKETS = {  # load: admitted with a burst of 1, 2, 5, 10, 20, 50
    0.5: (0.666667, 0.903726, 0.997824, 0.999996, 1, 1),
    0.8: (0.555556, 0.800430, 0.964710, 0.996361, 0.999952, 1),
    0.9: (0.526316, 0.765363, 0.935638, 0.983368, 0.998147, 0.999996),
    1.0: (0.500000, 0.731059, 0.896551, 0.949153, 0.974790, 0.989967),
    1.2: (0.454545, 0.666136, 0.800853, 0.829089, 0.833237, 0.833333),
    1.5: (0.400000, 0.580339, 0.661551, 0.666603, 0.666667, 0.666667),
    2.0: (0.333333, 0.468311, 0.499747, 0.5, 0.5, 0.5),
}
WINDOWS = {  # load: admitted with a limit of 5, 10, 50
    0.5: (0.975220, 0.995562, 1),
    0.8: (0.897424, 0.946767, 0.995450),
    0.9: (0.862181, 0.914088, 0.979553),
    1.0: (0.824533, 0.874890, 0.943675),
    1.2: (0.746990, 0.786368, 0.828008),
    1.5: (0.637771, 0.657544, 0.666635),
    2.0: (0.495710, 0.499590, 0.5),
}
LOGS = {
    0.5: (0.930269, 0.981615, 0.999996),
    0.8: (0.800933, 0.878339, 0.981309),
    0.9: (0.756979, 0.832037, 0.945896),
    1.0: (0.715132, 0.785418, 0.895213),
    1.2: (0.639600, 0.698075, 0.783881),
    1.5: (0.546984, 0.589659, 0.644421),
    2.0: (0.436048, 0.462037, 0.490695),
}
COUNTERS = {(0.9, 5): 0.7194, (1.0, 10): 0.7787, (1.2, 50): 0.7905, (2.0, 10): 0.4416}

CASES = [
    *[
        pytest.param(kind(1, burst), load, share, id=f"{kind.__name__} {burst} at {load}")
        for load, shares in BUCKETS.items()
        for burst, share in zip((1, 2, 5, 10, 20, 50), shares, strict=True)
        for kind in (TokenBucket, GCRA)
        if kind is TokenBucket or burst in (2, 20)
    ],
    *[
        pytest.param(kind(limit, limit), load, share, id=f"{kind.__name__} {limit} at {load}")
        for kind, table in ((FixedWindow, WINDOWS), (SlidingLog, LOGS))
        for load, shares in table.items()
        for limit, share in zip((5, 10, 50), shares, strict=True)
    ],
]


@cache
def arrivals(load: float) -> list[float]:
    lots = np.random.default_rng(round(1000 * load))
    times: list[float] = np.cumsum(lots.exponential(1 / load, ARRIVALS)).tolist()
    return times


def admitted(policy: Any, load: float) -> tuple[float, float]:
    """The share that is admitted and its standard error, from batches."""
    admit = policy.start(0.0).admit
    decisions = np.fromiter(map(bool, map(admit, arrivals(load))), dtype=float)
    batches = decisions.reshape(BATCHES, -1).mean(axis=1)
    return float(batches.mean()), float(batches.std(ddof=1) / math.sqrt(BATCHES))


@pytest.mark.parametrize(("policy", "load", "share"), CASES)
def test_the_admitted_share_is_the_exact_one(policy: Any, load: float, share: float) -> None:
    found, error = admitted(policy, load)
    if (1 - share) * ARRIVALS < 30:  # too few refusals for an error bar, and they come in bunches
        assert (1 - found) * ARRIVALS <= 60
    else:
        assert abs(found - share) <= 3 * error + 1e-6  # the table has six digits


@pytest.mark.parametrize(("load", "limit"), COUNTERS)
def test_a_sliding_counter_admits_what_it_did_when_it_was_first_simulated(load: float, limit: int) -> None:
    found, error = admitted(SlidingCounter(limit, limit), load)
    assert abs(found - COUNTERS[load, limit]) <= 3 * math.hypot(error, 0.0003)


def test_at_the_same_rate_a_bucket_admits_more_than_a_window_and_that_more_than_a_log() -> None:
    for load in BUCKETS:
        bucket, _ = admitted(TokenBucket(1, 10), load)
        window, _ = admitted(FixedWindow(10, 10), load)
        log, _ = admitted(SlidingLog(10, 10), load)
        assert bucket >= window - 1e-3
        assert window >= log
