"""Which handlers which agents may use, and who may be which agent."""

from __future__ import annotations

import pytest

from synapse.cortex import Grant, GrantLimit, HandlerAccess, OpenDoor
from synapse.policies import ADMITTED, GCRA, FixedWindow, Policies, Rejected, TokenBucket
from tests.support.node import Node

KEY, USER = Grant("a key"), Grant("a user", trusted=True)


class TestHandlerAccess:
    def test_the_first_handler_of_the_pattern_is_the_default(self) -> None:
        assert HandlerAccess({"*": ["echo", "model"]}).of("a", KEY) == ("echo", "model")

    def test_an_exact_name_wins_over_a_pattern_and_a_pattern_over_the_star_whatever_their_order(self) -> None:
        access = HandlerAccess({"*": ["one"], "lab-*": ["two"], "lab-7": ["three"]})
        assert [access.of(agent, KEY) for agent in ("a", "lab-1", "lab-7")] == [("one",), ("two",), ("three",)]

    def test_of_two_patterns_the_first_decides(self) -> None:
        assert HandlerAccess({"a-*": ["one"], "*-b": ["two"]}).of("a-b", KEY) == ("one",)

    def test_an_agent_that_no_pattern_matches_may_use_none(self) -> None:
        assert HandlerAccess({"lab-*": ["echo"]}).of("a", USER) == ()

    def test_some_handlers_are_for_trusted_identities_only(self) -> None:
        access = HandlerAccess({"*": ["kernel", "echo"]}, trusted_only=["kernel"])
        assert (access.of("a", KEY), access.of("a", USER)) == (("echo",), ("kernel", "echo"))

    def test_a_handler_may_be_a_pattern_which_is_no_default(self) -> None:
        access = HandlerAccess({"*": ["worker:lab-*", "echo"]})
        chosen = [access.choose("a", KEY, asked) for asked in (None, "worker:lab-1", "worker:x", "worker:lab-*")]
        assert chosen == ["echo", "worker:lab-1", None, None]

    def test_a_key_for_certain_handlers_opens_these_of_a_pattern(self) -> None:
        access, key = HandlerAccess({"*": ["echo", "worker:*"]}), Grant("k", handlers=("worker:lab-*", "kernel"))
        assert access.of("a", key) == ("worker:lab-*",)
        chosen = [access.choose("a", key, asked) for asked in (None, "worker:lab-1", "worker:x", "echo", "kernel")]
        assert chosen == [None, "worker:lab-1", None, None, None]

    def test_a_key_for_a_pattern_of_handlers_opens_each_of_them(self) -> None:
        access, key = HandlerAccess({"*": ["echo", "worker:spell"]}), Grant("k", handlers=("worker:*",))
        assert access.of("a", key) == ("worker:spell",)
        chosen = [access.choose("a", key, asked) for asked in (None, "worker:spell", "echo")]
        assert chosen == ["worker:spell", "worker:spell", None]

    def test_a_key_for_a_handler_that_is_for_the_trusted_does_not_open_it(self) -> None:
        access = HandlerAccess({"*": ["echo", "worker:*"]}, trusted_only=["worker:secret"])
        key = Grant("k", handlers=("echo", "worker:secret"))
        assert access.of("a", key) == ("echo",)
        assert access.choose("a", key, "worker:secret") is None
        assert access.choose("a", Grant("k", handlers=("worker:secret",))) is None

    def test_what_is_for_the_trusted_may_be_a_pattern_or_within_one(self) -> None:
        access = HandlerAccess({"*": ["echo", "worker:*"]}, trusted_only=["worker:secret-*"])
        assert access.choose("a", KEY, "worker:secret-1") is None
        assert access.choose("a", USER, "worker:secret-1") == "worker:secret-1"
        assert access.choose("a", KEY, "worker:spell") == "worker:spell"
        assert HandlerAccess({"*": ["echo", "worker:*"]}, trusted_only=["worker:*"]).of("a", KEY) == ("echo",)

    def test_names_are_told_apart_by_case(self) -> None:
        assert HandlerAccess({"Lab": ["echo"]}).of("lab", KEY) == ()

    def test_a_pattern_without_handlers_is_refused_by_name(self) -> None:
        with pytest.raises(ValueError, match="'lab-\\*' names no handler"):
            HandlerAccess({"lab-*": []})


def test_the_open_door_lets_everybody_in_and_trusts_them() -> None:
    grant = OpenDoor().authorize("a", {}, None)
    assert isinstance(grant, Grant)
    assert grant.trusted


class TestAGrantsOwnRate:
    GRANT = Grant("key:lab", rate_limit=TokenBucket(1, 2, "key"))

    def test_it_decides_as_its_policy_and_says_whose_it_is(self) -> None:
        limit = GrantLimit(self.GRANT, 0.0)
        assert limit.idle(0.0)
        assert [limit.admit(0.0) for _ in range(3)] == [ADMITTED, ADMITTED, Rejected(1.0, "token-bucket of key lab")]
        assert (limit.wait(0.0), limit.idle(0.0)) == (1.0, False)

    def test_a_new_limit_of_the_same_kind_goes_on_from_the_old(self) -> None:
        old = GrantLimit(self.GRANT, 0.0)
        old.spend(0.0, 2)
        wider = Grant("key:lab", rate_limit=TokenBucket(4, 8, "key"))
        assert GrantLimit(wider, 0.0, old).wait(0.0) == 0.25
        other = Grant("key:lab", rate_limit=GCRA(4, 8, "key"))
        assert GrantLimit(other, 0.0, old).wait(0.0) == 0.0

    def test_a_refusal_names_the_limit_that_is_open_last(self) -> None:
        class Lab:
            def authorize(self, agent: str, payload: object, identity: object) -> Grant:
                return TestAGrantsOwnRate.GRANT

        everyones = FixedWindow(3, 10.0, "agent")
        node = Node(authorizer=Lab(), policies=Policies(rate_limit=everyones))
        agent = node.agent("a")
        agent.query("q1")
        agent.query("q2")
        assert agent.refused("q3")["policy"] == "token-bucket of key lab"
        node.clock.advance(1.0)
        agent.query("q3")
        refusal = agent.refused("q4")
        assert (refusal["policy"], refusal["retry_after_ms"]) == ("fixed-window", 9000)
