"""What only the driver knows of a node: how late its loop is, and how far away its peers are."""

from __future__ import annotations

import socket
import struct
from contextlib import suppress
from typing import TYPE_CHECKING

from synapse.server.metrics import Metrics
from synapse.server.websocket import WebSocket

if TYPE_CHECKING:
    from synapse.cortex import CortexSocket

# struct tcp_info of linux/tcp.h begins with 8 bytes and 24 numbers of 32 bits; the 16th is tcpi_rtt, in us.
_TCP_INFO = struct.Struct("=8B24I")
_RTT = 8 + 15


class ServiceProbe:
    """The probe of a service.

    Parameters
    ----------
    metrics
        They measure the lag.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def lag(self) -> float | None:
        """How late the latest of the loop's timers was since the last time this was asked, in s."""
        return self._metrics.take_lag()

    def rtt(self, connection: CortexSocket) -> float | None:
        """TCP's own estimate of the round trip (RFC 6298), in s. None where the system does not tell."""
        transport = connection.transport
        fileno = transport.carrier.fileno() if isinstance(transport, WebSocket) else None
        return None if fileno is None else tcp_rtt(fileno)


def tcp_rtt(fileno: int) -> float | None:
    """The smoothed round trip of a TCP connection, in s; None where the system does not tell."""
    option = getattr(socket, "TCP_INFO", None)
    if option is None:
        return None
    with suppress(OSError):  # it is being closed
        borrowed = socket.socket(fileno=fileno)
        try:
            info = borrowed.getsockopt(socket.IPPROTO_TCP, option, _TCP_INFO.size)
        finally:
            borrowed.detach()
        if len(info) == _TCP_INFO.size:
            return float(_TCP_INFO.unpack(info)[_RTT]) / 1e6
    return None
