"""Concurrency limits and timeouts: values that are their own state."""

from __future__ import annotations

import msgspec
import pytest

from synapse.policies import Fixed, FixedTimeout


class TestFixed:
    def test_its_limit_never_changes(self) -> None:
        state = Fixed(limit=3).start(0.0)
        for at in range(10):
            state.on_start(at)
            state.on_finish(at, rtt=100.0, dropped=True)
        assert state.limit == 3

    def test_it_must_let_someone_run(self) -> None:
        with pytest.raises(msgspec.ValidationError, match="limit"):
            msgspec.convert({"kind": "fixed", "limit": 0}, Fixed)

    def test_it_reads_the_same_in_json(self) -> None:
        assert msgspec.json.decode(b'{"kind": "fixed", "limit": 8}', type=Fixed) == Fixed(8)


class TestFixedTimeout:
    def test_its_patience_counts_from_the_submission(self) -> None:
        assert FixedTimeout(seconds=30).start(0.0).deadline(100.0, None) == 130.0

    def test_a_query_may_name_its_own(self) -> None:
        assert FixedTimeout(seconds=30).start(0.0).deadline(100.0, 0.5) == 100.5

    def test_it_must_have_some_patience(self) -> None:
        with pytest.raises(msgspec.ValidationError, match="seconds"):
            msgspec.convert({"kind": "fixed", "seconds": 0}, FixedTimeout)

    def test_it_never_changes(self) -> None:
        with pytest.raises(AttributeError):
            FixedTimeout().seconds = 1.0  # type: ignore[misc]
