"""What can be wrong with bytes or messages. Every error names the field."""

from __future__ import annotations


class ProtocolError(ValueError):
    """The peer sent something the protocol does not allow."""


class MalformedFrame(ProtocolError):
    """Bytes that are no frame at all.

    Attributes
    ----------
    close_code : int
        With which the connection is closed: 1011 as Phoenix does, 1007 for text that is not UTF-8
        (RFC 6455, section 8.1).
    """

    def __init__(self, problem: str, close_code: int = 1011) -> None:
        super().__init__(problem)
        self.close_code = close_code


class InvalidMessage(ProtocolError):
    """A frame whose payload is not a valid message of its event.

    Attributes
    ----------
    reason : str
        A sentence for the peer, in the words of the reply (``"missing required fields: q, ref"``).
    field : str or None
        The offending field, None when it is the payload itself or several fields.
    """

    def __init__(self, reason: str, field: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.field = field
