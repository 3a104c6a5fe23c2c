"""What can go wrong between an agent and the cortex. Every error says what to do next, and none shows a secret."""

from __future__ import annotations


class SynapseError(Exception):
    """Base of every error that this package raises about a connection or a query."""


class InvalidURL(SynapseError, ValueError):
    """A server URL that cannot be understood.

    Attributes
    ----------
    field : str
        The part that is wrong: ``"scheme"``, ``"host"``, ``"port"``, ``"user"``.
    """

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(
            f"invalid url: {field}: {problem}. Pass a Jupyter address such as http://127.0.0.1:8888/ "
            "or the cortex itself, ws://127.0.0.1:8888/cortex"
        )
        self.field = field


class ConnectError(SynapseError, ConnectionError):
    """No WebSocket could be opened.

    Attributes
    ----------
    url : str
        Where to.
    problem : str
        What happened.
    status : int or None
        The HTTP status of the refusal, None if no HTTP answer came.
    """

    def __init__(self, url: str, problem: str, status: int | None = None) -> None:
        super().__init__(f"cannot connect to {url}: {problem}. {_connect_hint(status)}")
        self.url = url
        self.problem = problem
        self.status = status


class JoinError(SynapseError):
    """The server refused the agent (or the agent's wish to see a topic).

    Attributes
    ----------
    topic, reason : str
        Which topic, and the server's word for why (``"unauthorized"``).
    """

    def __init__(self, topic: str, reason: str) -> None:
        super().__init__(f"{topic} was refused: {reason}. {_join_hint(topic, reason)}")
        self.topic = topic
        self.reason = reason


class AgentClosed(SynapseError):
    """The agent has left, or the server closed its channel for good."""

    def __init__(self, reason: str = "closed") -> None:
        super().__init__(f"the agent is closed ({reason}). Make a new one: agent = synapse.connect()")
        self.reason = reason


class ReplyTimeout(SynapseError, TimeoutError):
    """The server did not answer a message in time. It may be overloaded, or the connection may be down."""

    def __init__(self, event: str, seconds: float) -> None:
        super().__init__(
            f"no answer to {event!r} within {seconds:g} s. "
            "Look at repr(agent) for the state of the connection, then ask again"
        )
        self.event = event
        self.seconds = seconds


class Disconnected(SynapseError, ConnectionError):
    """The connection dropped while an answer was due. The agent reconnects by itself."""

    def __init__(self, event: str) -> None:
        super().__init__(f"the connection dropped before {event!r} was answered. The agent is reconnecting: ask again")
        self.event = event


class QueryRefused(SynapseError):
    """The server did not accept a query, so nothing ran.

    Attributes
    ----------
    reason : str
        The server's word for why (``"overloaded"``, ``"rate_limited"``, ``"invalid field: …"``); ``"held_back"``
        if the server was not asked, as the agent's own ``budget`` did not allow it.
    retry_after : float or None
        When asking again makes sense, in seconds from the refusal.
    policy, field : str or None
        The policy that refused; the offending field of the query.
    handlers : list of str or None
        The handlers that the agent may use, if it asked for another.
    attempts : int
        How often the server was asked; the rest is what it said the last time.
    """

    def __init__(
        self,
        reason: str,
        retry_after: float | None = None,
        policy: str | None = None,
        field: str | None = None,
        handlers: list[str] | None = None,
        attempts: int = 1,
    ) -> None:
        by = f" by {policy}" if policy else ""
        if retry_after is not None:
            hint = f"Ask again in {retry_after:g} s"
        elif handlers is not None:
            hint = f"This agent may use: {', '.join(handlers) or 'none'}"
        elif field:
            hint = f"Correct {field!r}"
        else:
            hint = "Ask again later, or look at the server's log for its rules"
        tries = f" {attempts} times" if attempts > 1 else ""
        super().__init__(f"query refused{tries}{by}: {reason}. {hint}")
        self.reason = reason
        self.retry_after = retry_after
        self.policy = policy
        self.field = field
        self.handlers = handlers
        self.attempts = attempts


class QueryLost(SynapseError, ConnectionError):
    """A query was accepted, then the connection dropped and the query's ending never arrived."""

    def __init__(self, ref: str, why: str) -> None:
        super().__init__(
            f"the ending of query {ref} was lost: {why}. It may have run: ask again only if that does no harm"
        )
        self.ref = ref
        self.why = why


class BufferFull(SynapseError):
    """Too many messages wait for an answer. The client refuses more rather than grow without bound."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"{limit} messages already wait for an answer. Wait for results before asking more")
        self.limit = limit


def _connect_hint(status: int | None) -> str:
    if status == 404:
        return "There is a server, but no cortex: enable the extension (jupyter server extension enable synapse)"
    if status in (401, 403):
        return "The server refused the handshake: check token=… and the server's allowed origins and hosts"
    return "Check that the server runs (jupyter synapse) and that the address is right"


def _join_hint(topic: str, reason: str) -> str:
    if reason in ("unauthorized", "api_key required") and topic.startswith("worker:"):
        return "A worker needs Jupyter's token=…, or a name that the server opens to keys (c.SynapseApp.key_workers)"
    if reason in ("unauthorized", "api_key required"):
        return "Pass api_key=… or set SYNAPSE_API_KEY (for a Jupyter server its token=… does as well)"
    if reason == "unmatched topic":
        return "This server knows no such topic: is it a cortex, and is the agent's name valid?"
    if "channels" in reason:
        return "Close some agents first"
    return "The server's log says more"
