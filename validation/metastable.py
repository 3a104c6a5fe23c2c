"""Does a server come back from a pulse of load, when its clients time out and try again?

One exponential server, first come first served. Clients give up on a try after ten services and try again, three
times at most, after twenty services in the mean. For w services, queries come at twice the rate that can be served.
Theory (`synapse.theory.retry_fixed_point`): below a load of 1/4 it comes back from anything; above, it may stay down
for ever. The table to hold it against was simulated by another program.
"""

from __future__ import annotations

from dataclasses import dataclass

from synapse.simulation import Scenario
from validation.cases import BARE, SERVICE

END, PULSE_AT, LOOK = 20_000, 1000, 1000  # services; the last `LOOK` of them tell whether it has recovered
BACKOFF = {"kind": "full-jitter", "base": 40 * SERVICE, "cap": 40 * SERVICE, "tries": 4}

UNAWARE = BARE.replace(
    {
        "duration": END * SERVICE,
        "warmup": (END - LOOK) * SERVICE,
        "agents.timeout": {"kind": "fixed", "seconds": 10 * SERVICE},
        "agents.retry": BACKOFF,
    }
)
AWARE = UNAWARE.replace({"agents.on_timeout": "deadline"})
"""The same, but the server knows the deadline, and drops what has passed it."""


@dataclass(frozen=True)
class Pulse:
    """A load, the width of the pulse in services, and how many of ten recovered elsewhere."""

    load: float
    width: int
    aware: bool
    reference: int

    @property
    def scenario(self) -> Scenario:
        """What to simulate."""
        base = (AWARE if self.aware else UNAWARE).replace({"agents.arrivals.rate": self.load / SERVICE})
        if not self.width:
            return base
        pulse = {"kind": "load-pulse", "at": PULSE_AT * SERVICE, "width": self.width * SERVICE, "factor": 2 / self.load}
        return base.replace({"faults": [pulse]})


WIDTHS = (0, 10, 30, 100, 300)
REFERENCE = {
    0.20: (10, 10, 10, 10, 10),
    0.24: (10, 10, 10, 8, 0),  # the backlog drains, but slowly: by 0.04 a service
    0.26: (10, 10, 3, 0, 0),
    0.40: (9, 9, 1, 0, 0),
    0.60: (0, 0, 0, 0, 0),
}
PULSES = [
    *(Pulse(load, width, False, n) for load, row in REFERENCE.items() for width, n in zip(WIDTHS, row, strict=True)),
    *(Pulse(load, width, True, 10) for load in REFERENCE if load < 0.6 for width in (100, 300)),
]


def recovered(pulse: Pulse, seed: int, replication: int) -> bool:
    """Whether nine of ten queries are answered again, in the end."""
    run = pulse.scenario.run(seed, replication=replication, queries=False)
    return run.goodput > 0.9 * run.offered
