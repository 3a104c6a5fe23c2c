"""``synapse demo``: a real server, real agents, and a verdict.

`script` says who asks what; `server` runs the server; `play` is the agents; `board` is what they show and
`screen` how; `report` and `verdict` compare what they heard with what the server recorded; `run` does it all.
"""

from synapse.cli.demo.run import Plan, run

__all__ = ["Plan", "run"]
