"""Frames are made by the library's rules, also where we make their heads ourselves."""

from __future__ import annotations

import pytest
from websockets.frames import Frame, Opcode

from synapse.server.websocket import _header


@pytest.mark.parametrize("opcode", [Opcode.TEXT, Opcode.BINARY])
@pytest.mark.parametrize("length", [0, 1, 125, 126, 127, 65_535, 65_536, 70_000])
def test_a_head_is_the_one_that_the_websockets_library_writes(opcode: Opcode, length: int) -> None:
    data = bytes(length)
    assert _header(opcode, length) + data == Frame(opcode, data).serialize(mask=False)
