"""What a handler sees of its query."""

from __future__ import annotations

import pytest

from synapse.cortex.job import Job, State
from synapse.handlers import Interrupted, Query


def make_job() -> Job:
    return Job("ada", "r1", handler="echo", priority=2, timeout=1.5, body={"q": "why?", "depth": 3})


def test_a_query_shows_whose_it_is_and_all_that_was_sent() -> None:
    query = Query(make_job())
    assert (query.agent, query.ref, query.q, query.priority, query.timeout) == ("ada", "r1", "why?", 2, 1.5)
    assert query.payload["depth"] == 3


def test_a_query_that_runs_is_not_interrupted() -> None:
    query = Query(make_job())
    query.check_interrupt()
    assert not query.interrupted


@pytest.mark.parametrize(("reason", "shown"), [("user requested", "user requested"), (None, "timeout")])
def test_a_query_that_has_ended_stops_its_handler_with_the_reason(reason: str | None, shown: str) -> None:
    job = make_job()
    job.state, job.status, job.reason = State.ENDED, "timeout", reason
    query = Query(job)
    assert query.interrupted
    with pytest.raises(Interrupted, match=shown):
        query.check_interrupt()


def test_a_handlers_own_except_exception_does_not_swallow_an_interrupt() -> None:
    assert not issubclass(Interrupted, Exception)


def test_the_repr_shows_identity_question_and_state() -> None:
    assert repr(Query(make_job())) == "<Query ada/r1 'why?' new>"


def test_the_repr_of_a_long_question_is_short() -> None:
    job = make_job()
    job.body = {"q": "x" * 10_000}
    assert len(repr(Query(job))) < 80
