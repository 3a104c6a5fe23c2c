"""What an agent may be called: said once, for servers and clients."""

from __future__ import annotations

import pytest

from synapse.protocol import LONGEST_AGENT_ID, is_agent_id


@pytest.mark.parametrize("text", ["a", "a:b", "Ågent 7", "*", "presences", "a" * LONGEST_AGENT_ID])
def test_printable_names_are_agents(text: str) -> None:
    assert is_agent_id(text)


@pytest.mark.parametrize("text", ["", "a\nb", "\u200b", "presence", "monitor", "a" * (LONGEST_AGENT_ID + 1)])
def test_what_cannot_be_read_or_is_a_topic_of_its_own_is_none(text: str) -> None:
    assert not is_agent_id(text)
