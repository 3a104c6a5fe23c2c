"""Studies: a scenario, what to vary in it, many replications, and results that say how sure they are.

This room knows simulation and theory, and runs tasks by `concurrent.futures.Executor` alone; it knows no server.

>>> from synapse.experiment import Study
>>> from synapse.simulation import Scenario
>>> study = Study(Scenario(duration=20, agents={"count": 100}), reps=2, node__slots=[4, 8])
>>> len(study.points)
2
"""

from synapse.experiment.design import Point, grid, sobol, zipped
from synapse.experiment.errors import StudyError
from synapse.experiment.interval import Interval
from synapse.experiment.lab import Lab
from synapse.experiment.page import Claim, Page, above, below, between, near
from synapse.experiment.results import Results
from synapse.experiment.study import Study

__all__ = [
    "Claim",
    "Interval",
    "Lab",
    "Page",
    "Point",
    "Results",
    "Study",
    "StudyError",
    "above",
    "below",
    "between",
    "grid",
    "near",
    "sobol",
    "zipped",
]
