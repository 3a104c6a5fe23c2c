"""What a handler may say went wrong, in words that an agent may read.

Only the message of a `HandlerError` ever leaves the server. Any other exception is named by its class
alone, because messages and tracebacks carry paths, arguments and, sooner or later, secrets.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, ClassVar


class HandlerError(Exception):
    """A failure whose message is meant for the agent: the query ends with status ``error`` and this reason.

    Parameters
    ----------
    reason
        A short sentence, safe to show to whoever sent the query, or a word for programs (``rate_limited``).
    detail
        The sentence, where the reason is a word.
    retry_after
        When asking again makes sense, in s.

    Attributes
    ----------
    status : str
        With which status the query ends.
    """

    status: ClassVar[str] = "error"

    def __init__(self, reason: str, *, detail: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(reason if detail is None else f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.retry_after = retry_after

    @property
    def data(self) -> dict[str, Any]:
        """What the agent is told."""
        data: dict[str, Any] = {"reason": self.reason}
        if self.detail is not None:
            data["detail"] = self.detail
        if self.retry_after is not None:
            data["retry_after_ms"] = max(1, math.ceil(self.retry_after * 1000))
        return data


class HandlerTimeout(HandlerError):
    """Something that the handler needs took too long: the query ends with status ``timeout``."""

    status: ClassVar[str] = "timeout"


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
