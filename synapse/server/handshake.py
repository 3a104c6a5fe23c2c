"""The handshake: from an HTTP request to an open WebSocket connection of the cortex.

Refusals are Phoenix's: 403 with an empty body for an unknown ``vsn``, a bad token or a foreign origin, 400
for what is no WebSocket upgrade. Where the rules on connections refuse, 429 or 503 say after how long to come again.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode
from collections.abc import Sequence
from math import ceil
from typing import TYPE_CHECKING

from tornado.iostream import StreamClosedError
from tornado.web import RequestHandler
from websockets.datastructures import Headers
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.http11 import Request
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from synapse.cortex import Refusal
from synapse.protocol import encode_json, serializer_for
from synapse.server.carriers import carry

if TYPE_CHECKING:
    from synapse.server.auth import BadToken, Identity
    from synapse.server.service import Service
    from synapse.server.tokens import Bearer

# Without context takeover a connection keeps no compressor between messages: 1 KiB instead of 150.
DEFLATE = ServerPerMessageDeflateFactory(server_no_context_takeover=True, client_no_context_takeover=True)


# How phoenix.js 1.8 carries its `authToken`, which a browser cannot put into a header: as a subprotocol.
SUBPROTOCOL = Subprotocol("phoenix")
_BEARER = "base64url.bearer.phx."


def bearer_token(handler: RequestHandler) -> str | None:
    """The ``authToken`` of phoenix.js in an upgrade's offered subprotocols, None if there is none.

    One that cannot be decoded is an empty token: it was meant as a token, and is none of ours.
    """
    for value in handler.request.headers.get_list("Sec-WebSocket-Protocol"):
        for offer in value.split(","):
            if offer.strip().startswith(_BEARER):
                encoded = offer.strip().removeprefix(_BEARER)
                try:
                    return urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode()
                except ValueError:
                    return ""
    return None


def _select_subprotocol(_: ServerProtocol, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    return SUBPROTOCOL if SUBPROTOCOL in offered else None


async def open_websocket(
    handler: RequestHandler, service: Service, identity: Identity | Bearer | BadToken | None
) -> None:
    """Answer an upgrade request and, if it is a good one, connect it to the service's cortex.

    Parameters
    ----------
    handler
        Whose request it is; origin and credentials have been looked at.
    service
        Where it wants to go.
    identity
        Who it is, None for a stranger.
    """
    serializer = serializer_for(handler.get_query_argument("vsn", None, strip=False))
    if serializer is None or service.stopping:
        refuse(handler, 403 if serializer is None else 503)
        return
    protocol = ServerProtocol(
        extensions=[DEFLATE] if service.settings.compression else None, select_subprotocol=_select_subprotocol
    )
    response = protocol.accept(_request(handler))
    if response.status_code != 101:
        refuse(handler, 400)
        return
    cortex = service.cortex
    refusal = cortex.admission.admit()
    if refusal is not None:
        cortex.emit_refused("connection", "", refusal.reason, refusal.policy, refusal.retry_after)
        _turn_away(handler, refusal)
        return
    try:
        stream = handler.detach()
        stream.set_nodelay(True)
        await stream.write(response.serialize())
        if cortex.schedulers.draining:  # it has begun to stop since
            stream.close()
            return
        websocket = service.connect(protocol, serializer, identity)
    except StreamClosedError:
        return
    finally:
        cortex.admission.release()  # the place that was kept; an open connection has its own
    await carry(stream, websocket, service.loop, service.vigil)


def _turn_away(handler: RequestHandler, refusal: Refusal) -> None:
    """Refuse an upgrade for now: 429 for those who come too fast, 503 when all places are taken."""
    wait = refusal.retry_after or 0.0
    handler.set_status(429 if refusal.policy == "connections.accept_rate" else 503)
    handler.set_header("Retry-After", str(max(1, ceil(wait))))  # in whole s
    handler.set_header("Content-Type", "application/json")
    body = {"reason": refusal.reason, "policy": refusal.policy, "retry_after_ms": ceil(wait * 1000)}
    handler.finish(encode_json(body))


def refuse(handler: RequestHandler, status: int) -> None:
    """Refuse an upgrade as Phoenix does: a status and no word."""
    handler.set_status(status)
    handler.clear_header("Content-Type")
    handler.finish()


def _request(handler: RequestHandler) -> Request:
    headers = Headers()
    for name, value in handler.request.headers.get_all():
        headers[name] = value
    return Request(handler.request.uri or "/", headers)
