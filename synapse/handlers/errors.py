"""What a handler may say went wrong, in words that an agent may read.

Only the message of a `HandlerError` ever leaves the server. Any other exception is named by its class
alone, because messages and tracebacks carry paths, arguments and, sooner or later, secrets.
"""

from __future__ import annotations

from collections.abc import Iterable


class HandlerError(Exception):
    """A failure whose message is meant for the agent: the query ends with status ``error`` and this reason.

    Parameters
    ----------
    reason
        A short sentence, safe to show to whoever sent the query.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class UnknownHandler(HandlerError):
    """No handler has this name.

    Attributes
    ----------
    name : str
        The name that was asked for.
    known : tuple of str
        The names there are.
    """

    def __init__(self, name: str, known: Iterable[str]) -> None:
        self.name = name
        self.known = tuple(sorted(known))
        super().__init__(f"unknown handler {name!r}; known: {', '.join(self.known) or 'none'}")


class HandlerUnavailable(HandlerError):
    """A handler that could not be imported, made or started. The log has the traceback."""


class NotJSON(HandlerError, TypeError):
    """A thought or a result that has no JSON form."""


NO_JSON_FORM = (TypeError, UnicodeError, RecursionError)
"""What the encoder raises for what JSON cannot say: a strange type, a lone surrogate, a cycle."""


class Interrupted(BaseException):
    """The query has ended (interrupt, timeout, shutdown), so there is nothing left to answer.

    A BaseException like `asyncio.CancelledError`, so that a handler's own ``except Exception`` does not
    swallow it and go on working for no one.

    Attributes
    ----------
    reason : str
        Why the query ended.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
