"""The ``synapse`` command.

Each command stands in a room of its own and is imported when it runs, so that ``synapse --help`` is quick.
"""

from synapse.cli.commands import main

__all__ = ["main"]
