"""Every canonical study, at a small size: what it claims holds, and its figure can be drawn."""

from __future__ import annotations

import pytest

from synapse.experiment import Lab
from synapse.experiment.library import pages
from tests.support.pool import pool_is_put_away  # noqa: F401

SIZE = 0.1
PAGES = pages()


def test_they_are_numbered_from_one_on() -> None:
    assert [page.number for page in PAGES.values()] == list(range(1, 16))


@pytest.mark.parametrize("name", PAGES)
def test_its_claims_hold(name: str) -> None:
    outcome = PAGES[name].run(Lab(SIZE))
    assert not [f"{claim.text} (missed by {claim.miss:.3g})" for claim in outcome.failed]
    assert outcome.claims
    outcome.plot()
