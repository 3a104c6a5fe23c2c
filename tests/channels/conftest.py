from __future__ import annotations

import pytest

from tests.channels.rooms import Building


@pytest.fixture
def hall() -> Building:
    return Building()
