"""The sync face: for notebooks, scripts and the REPL.

It blocks the calling thread only. Ctrl-C, or a notebook's stop button, while it waits for a query stops
that query on the server too.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

from synapse.client.about import About
from synapse.client.face import AgentFace, QueryFace
from synapse.client.io import io_thread
from synapse.client.opening import establish, plan
from synapse.client.presence import Roster
from synapse.client.retrying import Rule
from synapse.client.server import Server
from synapse.client.serving import Place, Worker
from synapse.client.trust import Verify
from synapse.client.values import Result, Thought

ALERT = 0.5  # seconds until a Ctrl-C that came too early for a sleep takes effect


def connect(
    url: str | None = None,
    *,
    agent: str | None = None,
    api_key: str | None = None,
    token: str | None = None,
    handler: str | None = None,
    timeout: float = 10.0,
    verify: Verify | None = None,
    retry: Rule | None = None,
    budget: Rule | None = None,
) -> Agent:
    """Connect an agent to a cortex.

    Without a URL: ``SYNAPSE_URL``, else the Jupyter server that started this kernel, else a cortex of its
    own inside this process (announced in one line). Never any other running server.

    Parameters
    ----------
    url
        Any address of the server: ``http://127.0.0.1:8888/lab?token=…``, ``wss://host/cortex``.
    agent
        The agent's id. By default the notebook's name, or the user's and process's, and a random end.
    api_key
        Opens the door where the server asks for one; ``SYNAPSE_API_KEY`` by default.
    token
        Jupyter's token, an alternative to the key.
    handler
        Which handler answers this agent's queries; the server's default for it otherwise.
    timeout
        Seconds for connecting and joining together.
    verify
        For ``https`` and ``wss``: a file (or folder) of certificates in PEM format to believe in, where the server's
        is not from an authority that the system knows; or an `ssl.SSLContext`. The system's authorities by default.
    retry
        When to ask again what the server refuses for now (``rate_limited``, ``overloaded``, ``shutting_down``, or
        with word of when): a retry policy of `synapse.policies`, such as ``FullJitter()``. It waits at least as
        long as the server says, and for no longer in all than the query's ``timeout``, which runs from the first
        attempt. Then the query raises the last refusal. Never by default; and a query that was accepted is never
        asked again, however it ends.
    budget
        What keeps the attempts of all this agent's queries within bounds, so that retries do not prolong an
        overload: ``RetryBudget()``, ``AdaptiveThrottle()`` or ``CircuitBreaker()``. The last two may hold back
        first attempts, too.

    Returns
    -------
    Agent
        Joined. Close it with ``.close()``, or use it in a ``with`` statement.

    Raises
    ------
    ConnectError
        If the server cannot be reached; it names the address.
    JoinError
        If the server refuses the agent; it says why and what to do.
    InvalidURL, ValueError
        If an argument cannot be understood; it names the part.
    """
    plans = plan(
        url, agent=agent, api_key=api_key, token=token, timeout=timeout, verify=verify, retry=retry, budget=budget
    )
    io = io_thread()
    opened = io.call(establish(io, plans))
    if opened.notice:
        print(opened.notice)
    return Agent(opened, io, handler)


class Agent(AgentFace):
    """An agent, joined to a cortex: ask it, see who else is here. Made by `connect`.

    Usable from any thread. Reconnects by itself when the connection drops.
    """

    def query(self, q: str, *, priority: int = 5, timeout: float | None = None, handler: str | None = None) -> Query:
        """Ask, without waiting. Iterate over the query for its thoughts.

        Parameters
        ----------
        q
            The question, or whatever text the handler understands.
        priority
            0 (first) to 9 (last).
        timeout
            Seconds until the server ends it with status ``"timeout"``; the server's rule by default. It bounds
            the wait here, too: whose connection is down then gets a `QueryLost` or a `ReplyTimeout` at once, and
            whose server is silent, 2 s later.
        handler
            Which handler answers; the agent's by default.

        Raises
        ------
        AgentClosed
            If the agent has left.
        InvalidMessage
            A `ValueError` that names the argument that is wrong.
        """
        return Query(self, q, self._ask(q, priority, timeout, handler))

    def ask(self, q: str, *, priority: int = 5, timeout: float | None = None, handler: str | None = None) -> Result:
        """Ask and wait for the result. Parameters as for `query`, errors as for `Query.result`."""
        return self.query(q, priority=priority, timeout=timeout, handler=handler).result

    def ping(self) -> float:
        """Seconds to the agent's channel and back.

        Raises
        ------
        ReplyTimeout, Disconnected, AgentClosed
            If no answer comes.
        """
        self._check_open()
        return self._io.call(self._connection.push("ping", {}))[1]

    def set_status(self, status: str | None = None, *, load: float | None = None) -> None:
        """Show others what this agent is up to, and how busy it is.

        Parameters
        ----------
        status
            A word or two, at most 64 characters; unchanged when absent.
        load
            From 0 to 1; unchanged when absent. Once told, the server makes no estimate of its own.

        Raises
        ------
        InvalidMessage
            A `ValueError` that names the argument that is wrong.
        ReplyTimeout, Disconnected, AgentClosed
            If no answer comes.
        """
        payload = self._status_payload(status, load)
        self._io.call(self._connection.push("status", payload))

    def presence(self) -> Roster:
        """Who is here, on the whole server: agent id → one meta for each connection.

        The first call joins the roster's topic; from then on the list is kept true by the server's news.

        Raises
        ------
        JoinError
            If this agent may not see the roster.
        ReplyTimeout, AgentClosed
            If no list comes.
        """
        self._check_open()
        return self._io.call(self._connection.roster())

    @property
    def server(self) -> Server:
        """The server that it is on: the rules in force, and other ones in their place."""
        return Server(self._rules, self._io)

    def about(self) -> About:
        """What this agent may know of its server: version, how busy it is, which handlers it may use, and its rules.

        Raises
        ------
        ReplyTimeout, Disconnected, AgentClosed
            If no answer comes.
        """
        self._check_open()
        return self._about(self._io.call(self._connection.push("about", {}))[0])

    def serve(self, function: Callable[..., Any], name: str | None = None, *, concurrency: int = 1) -> Worker:
        """Answer queries with a function of this process: those whose handler is ``worker:<name>``, of any agent.

        The function is a handler, as on the server: ``(query, think) -> data``. It reads `query.q`, speaks by
        ``think(…)``, and what it returns is the result's data. To fail in words, it raises
        `synapse.handlers.HandlerError`. A plain function runs in a thread, and stops where it calls ``think(…)`` or
        `query.check_interrupt` once its query has been interrupted; an async one is cancelled. It runs in
        a loop and a thread of its own.

        Several workers may have one name, here or in other processes: the server gives each query to one of them. When
        the connection drops, queries that are at work end with an error, and the worker joins again by itself.

        Parameters
        ----------
        function
            What answers.
        name
            Under which name; the function's own by default.
        concurrency
            How many queries it takes at once; others wait on the server.

        Raises
        ------
        JoinError
            If the server does not want this worker; it says why and what to do.
        TypeError, ValueError
            Naming the argument that is wrong, or if this agent has a worker of that name.
        ReplyTimeout, AgentClosed
            If no answer comes.
        """
        self._check_open()
        place = Place(self, function, name, concurrency, None)
        self._io.call(place.join())
        return Worker(self, place.name, place.bench, place.over)

    def close(self) -> None:
        """Leave. Queries without an ending raise `AgentClosed` here, and run on there. May be called again."""
        if self._io.usable:
            self._io.call(self._connection.close())

    def __enter__(self) -> Agent:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Query(QueryFace):
    """A question on its way. Iterate for its thoughts; `result` waits for the ending.

    Every iteration starts at the first thought. In a ``with`` statement a query that is left early, by
    ``break`` or by an error, is interrupted.
    """

    @property
    def result(self) -> Result:
        """The ending; waits for it.

        Raises
        ------
        QueryRefused
            If the server did not accept it, however often the agent's ``retry`` had it asked.
        ReplyTimeout, QueryLost, AgentClosed
            If no ending will come.
        """
        __tracebackhide__ = True  # what is of interest is where the user waited
        try:
            while not self._stream.over:
                self._wait(len(self._stream.thoughts))
        except KeyboardInterrupt:
            self.interrupt()
            raise
        return self._stream.ending

    def __iter__(self) -> Iterator[Thought]:
        __tracebackhide__ = True
        thoughts, seen = self._stream.thoughts, 0
        try:
            while True:
                over = self._stream.over  # before the look at the thoughts: what it says must not be newer
                while seen < len(thoughts):
                    yield thoughts[seen]
                    seen += 1
                if over:
                    break
                self._wait(seen)
        except KeyboardInterrupt:
            self.interrupt()
            raise
        if self._stream.failure is not None:
            raise self._stream.failure.with_traceback(None)

    def _wait(self, seen: int) -> None:
        """Sleep until there are more thoughts than `seen`, or the ending."""
        __tracebackhide__ = True
        stream, changed = self._stream, threading.Lock()
        changed.acquire()
        stream.on_change(changed.release)
        if stream.over or len(stream.thoughts) > seen:
            return
        # A Ctrl-C in the moment before the sleep does not end it: look up now and then.
        while not changed.acquire(timeout=ALERT):
            pass

    def __enter__(self) -> Query:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.interrupt()
