"""IPython magics, loaded by ``%load_ext synapse``.

``%cortex`` shows the server: who is there, and its rules. ``%%query name`` asks what stands in the cell, as the agent
of that name, and shows the answer below the cell while it comes; the notebook's stop button interrupts it.
"""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Iterable
from itertools import groupby
from typing import Any

from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import Magics, cell_magic, line_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments, parse_argstring
from IPython.display import display

from synapse.client import html
from synapse.client.agent import AsyncAgent
from synapse.client.errors import SynapseError
from synapse.client.sync import Agent, Query, connect
from synapse.client.values import Thought

FRAME = 0.05  # s between two pictures of an answer
FAREWELL = 2.0  # s that the ending of an interrupted query may take
STREAMED = frozenset({"text", "thinking", "stdout", "stderr"})  # pieces of one text, where other thoughts are steps
MOST_TEXT, MOST_STEPS = 20_000, 200  # characters and steps that a cell keeps


class Live:
    """A query as a cell shows it: its whole text as far as it has come, and how it stands."""

    def __init__(self, query: Query) -> None:
        self._query = query

    def _repr_html_(self) -> str:
        return self._query._card(_answer(self._query.thoughts))

    def __repr__(self) -> str:
        pieces = [_plain(thought) for thought in self._query.thoughts]
        return "".join([*pieces, self._ending()])[-MOST_TEXT:]

    def _ending(self) -> str:
        return f"[{self._query.status}]"


@magics_class
class SynapseMagics(Magics):
    """``%cortex`` and ``%%query``."""

    def __init__(self, shell: InteractiveShell) -> None:
        super().__init__(shell)
        self._agents: dict[str, Agent] = {}

    @magic_arguments()
    @argument("agent", nargs="?", help="Whose server: an agent's name, or a variable that holds one.")
    @line_magic
    def cortex(self, line: str) -> None:
        """Show the server: where it is, its handlers and rules, and who is there."""
        name = parse_argstring(self.cortex, line).agent
        agent = self._agent(name) if name else self._any_agent()
        try:
            about, roster = agent.about(), agent.presence()
        except SynapseError as error:
            raise UsageError(str(error)) from None
        if self._is_notebook:
            display(about, roster)
        else:
            print(f"{about}\n{roster}")

    @magic_arguments()
    @argument("agent", help="Who asks: an agent's name, or a variable that holds one.")
    @argument("--handler", help="Which handler answers; the agent's by default.")
    @argument("--priority", type=int, default=5, help="0 (first) to 9 (last).")
    @argument("--timeout", type=float, help="Seconds until the server ends it.")
    @argument("--out", help="A variable for the result.")
    @cell_magic
    def query(self, line: str, cell: str) -> None:
        """Ask what stands in the cell, and show the answer while it comes. The stop button interrupts it."""
        given: Namespace = parse_argstring(self.query, line)
        agent = self._agent(given.agent)
        try:
            query = agent.query(cell.strip("\n"), priority=given.priority, timeout=given.timeout, handler=given.handler)
            (self._show if self._is_notebook else _tell)(query)
            result = query.result
        except (SynapseError, ValueError) as error:
            raise UsageError(str(error)) from None
        if given.out:
            self._shell.user_ns[given.out] = result

    def close(self) -> None:
        """Close the agents that the magics have made."""
        agents, self._agents = self._agents, {}
        for agent in agents.values():
            agent.close()

    @property
    def _shell(self) -> InteractiveShell:
        assert isinstance(self.shell, InteractiveShell)
        return self.shell

    @property
    def _is_notebook(self) -> bool:
        """Whether there is a page on which an output can change."""
        return hasattr(self._shell, "kernel")

    def _agent(self, name: str) -> Agent:
        """The agent in the variable of this name, or else the one of that name, made when it is first needed."""
        variable = self._shell.user_ns.get(name)
        if isinstance(variable, Agent):
            return variable
        if isinstance(variable, AsyncAgent):
            raise UsageError(f"{name} is an AsyncAgent: await it, or make one by synapse.connect()")
        agent = self._agents.get(name)
        if agent is None or agent.status == "closed":
            try:
                agent = self._agents[name] = connect(agent=name)
            except (SynapseError, ValueError) as error:
                raise UsageError(str(error)) from None
        return agent

    def _any_agent(self) -> Agent:
        """One that is there, or else one of our own."""
        here = [*self._shell.user_ns.values(), *self._agents.values()]
        found = next((one for one in here if isinstance(one, Agent) and one.status != "closed"), None)
        if found is not None:
            return found
        try:
            agent = connect()
        except SynapseError as error:
            raise UsageError(str(error)) from None
        self._agents[agent.id] = agent
        return agent

    def _show(self, query: Query) -> None:
        """Show a query below the cell until it has ended: the first news at once, then a picture every `FRAME`."""
        live = Live(query)
        handle: Any = display(live, display_id=True)
        try:
            while not query._stream.over:
                seen = len(query.thoughts)
                query._wait(seen)
                handle.update(live)
                time.sleep(FRAME)
        except KeyboardInterrupt:
            query.interrupt()
            end = time.monotonic() + FAREWELL
            while not query._stream.over and time.monotonic() < end:
                time.sleep(FRAME / 10)
            raise
        finally:
            handle.update(live)


def _tell(query: Query) -> None:
    """Print an answer while it comes: where outputs do not change."""
    for thought in query:
        print(_plain(thought), end="", flush=True)
    print(f"\n{query.result!r}")


def _plain(thought: Thought) -> str:
    return str(thought.content) if thought.type in STREAMED else f"{thought.content}\n"


def _answer(thoughts: Iterable[Thought]) -> str:
    """HTML of thoughts: pieces of a text joined, others as a list."""
    parts = []
    for kind, group in groupby(thoughts, lambda thought: thought.type if thought.type in STREAMED else ""):
        contents = [thought.content for thought in group]
        if kind:
            parts.append(html.text("".join(map(str, contents)), MOST_TEXT, quiet=kind == "thinking"))
        else:
            last = contents[-MOST_STEPS:]
            parts.append(html.steps([html.short(one) for one in last], hidden=len(contents) - len(last)))
    return "".join(parts)


def load(shell: InteractiveShell) -> None:
    """Register the magics: ``%load_ext synapse``."""
    shell.register_magics(SynapseMagics(shell))


def unload(shell: InteractiveShell) -> None:
    """Close their agents: ``%unload_ext synapse``."""
    magics = shell.magics_manager.registry.get("SynapseMagics")
    if isinstance(magics, SynapseMagics):
        magics.close()
