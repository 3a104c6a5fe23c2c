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
    retry_after : float or None
        When trying again makes sense, in seconds from the refusal, if the server said so.
    """

    def __init__(self, url: str, problem: str, status: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(f"cannot connect to {url}: {problem}. {_connect_hint(problem, status, retry_after)}")
        self.url = url
        self.problem = problem
        self.status = status
        self.retry_after = retry_after


class ServerError(SynapseError, ConnectionError):
    """The server's rules could not be read or replaced.

    Attributes
    ----------
    url : str
        Which server.
    problem : str
        What happened.
    status : int or None
        The HTTP status of the refusal, None if no HTTP answer came.
    """

    def __init__(self, url: str, problem: str, status: int | None = None) -> None:
        super().__init__(f"the rules of {url} are out of reach: {problem}. {_rules_hint(status)}")
        self.url = url
        self.problem = problem
        self.status = status


class JoinError(SynapseError):
    """The server refused the agent (or the agent's wish to see a topic).

    Attributes
    ----------
    topic, reason : str
        Which topic, and the server's word for why (``"unauthorized"``, ``"too_many_connections"``).
    policy : str or None
        The rule that refused (``"connections.per_agent"``), if it was one.
    retry_after : float or None
        When trying again makes sense, in seconds from the refusal.
    """

    def __init__(self, topic: str, reason: str, policy: str | None = None, retry_after: float | None = None) -> None:
        by = f" by {policy}" if policy else ""
        super().__init__(f"{topic} was refused{by}: {reason}. {_join_hint(topic, reason, policy, retry_after)}")
        self.topic = topic
        self.reason = reason
        self.policy = policy
        self.retry_after = retry_after


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
        The server's word for why (``"overloaded"``, ``"rate_limited"``, ``"payload_too_large"``,
        ``"invalid field: …"``); ``"held_back"``
        if the server was not asked, as the agent's own ``budget`` did not allow it.
    retry_after : float or None
        When asking again makes sense, in seconds from the refusal.
    policy, field : str or None
        The policy that refused; the offending field of the query.
    handlers : list of str or None
        The handlers that the agent may use, if it asked for another.
    attempts : int
        How often the server was asked; the rest is what it said the last time.
    limit : int or None
        The largest message that the server reads, in bytes, if this one was larger.
    """

    def __init__(
        self,
        reason: str,
        retry_after: float | None = None,
        policy: str | None = None,
        field: str | None = None,
        handlers: list[str] | None = None,
        attempts: int = 1,
        limit: int | None = None,
    ) -> None:
        by = f" by {policy}" if policy else ""
        if retry_after is not None:
            hint = f"Ask again in {retry_after:g} s"
        elif handlers is not None:
            hint = f"This agent may use: {', '.join(handlers) or 'none'}"
        elif field:
            hint = f"Correct {field!r}"
        elif limit is not None:
            hint = f"Send less: the server reads messages of at most {limit} bytes"
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
        self.limit = limit


class QueryLost(SynapseError, ConnectionError):
    """A query was accepted, and its ending never arrived: the connection dropped, or the server fell silent."""

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


def _connect_hint(problem: str, status: int | None, retry_after: float | None) -> str:
    if "CERTIFICATE_VERIFY_FAILED" in problem:
        return "If the server's certificate is of your own authority, pass verify='that-authority.pem'"
    if retry_after is not None:
        return f"Try again in {retry_after:g} s"
    if status == 404:
        return "There is a server, but no cortex: enable the extension (jupyter server extension enable synapse)"
    if status in (401, 403):
        return "The server refused the handshake: check token=… and the server's allowed origins and hosts"
    return "Check that the server runs (jupyter synapse) and that the address is right"


def _rules_hint(status: int | None) -> str:
    if status in (401, 403):
        return "They are for who runs the server: pass Jupyter's token, synapse.connect(token=…); a key does not do"
    if status is None:
        return "Check that the server runs"
    return "The server's log says more"


def _join_hint(topic: str, reason: str, policy: str | None, retry_after: float | None) -> str:
    if reason == "token not accepted":
        return "It may be wrong or expired: check token=… (or pass api_key=…)"
    if reason in ("unauthorized", "api_key required") and topic.startswith("worker:"):
        return "A worker needs Jupyter's token=…, or a name that the server opens to keys (c.SynapseApp.key_workers)"
    if reason in ("unauthorized", "api_key required"):
        return "Pass api_key=… or set SYNAPSE_API_KEY (for a Jupyter server its token=… does as well)"
    if reason == "unmatched topic":
        return "This server knows no such topic: is it a cortex, and is the agent's name valid?"
    if policy == "connections.channels":
        return "Close some agents first"
    if retry_after is not None:
        return f"Try again in {retry_after:g} s, or close other connections"
    return "The server's log says more"
