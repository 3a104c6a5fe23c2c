"""The model handler against a local server of the API that it speaks."""

from __future__ import annotations

import asyncio
import builtins
import logging
from typing import Any

import pytest

from synapse.handlers import HandlerRegistry, HandlerUnavailable, ModelHandler
from synapse.handlers.model import _retry_after
from tests.support.llm import PATIENCE, LocalModel


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-12345")
    for name in ("OPENAI_BASE_URL", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


def ask(stage: Any, q: str, **options: Any) -> tuple[Any, LocalModel]:
    """Ask one question; what came of it, and the server that was asked."""

    async def main() -> Any:
        handler = ModelHandler(**{"model": "parrot", "base_url": llm.url, "interval": 0.0, **options})
        async with stage({"model": handler}) as s:
            return await s.ask("model", q)

    with LocalModel() as llm:
        return asyncio.run(main()), llm


class TestAnAnswer:
    def test_streams_as_thoughts_and_is_the_result_as_a_whole(self, stage: Any) -> None:
        asked, _ = ask(stage, "words=3 delay_ms=20")
        assert "".join(asked.of("text")) == "word0 word1 word2 "
        assert len(asked.thoughts) > 1
        assert asked.status == "success"
        assert asked.data == {
            "text": "word0 word1 word2 ",
            "model": "parrot-1",
            "finish_reason": "stop",
            "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
        }

    def test_tells_thinking_aloud_from_text(self, stage: Any) -> None:
        asked, _ = ask(stage, "think=2 words=1")
        assert "".join(asked.of("thinking")) == "hm0 hm1 "
        assert asked.data["text"] == "word0 "

    def test_that_comes_fast_comes_in_few_thoughts(self, stage: Any) -> None:
        asked, _ = ask(stage, "words=500", interval=60.0)
        assert 1 <= len(asked.thoughts) <= 2  # the first at once, the rest at the end, without waiting for the minute
        assert "".join(asked.of("text")) == asked.data["text"]

    def test_is_asked_for_as_configured(self, stage: Any) -> None:
        _, llm = ask(stage, "hello", system="Be brief.", parameters={"temperature": 0.5}, usage=False)
        assert llm.requests == [
            {
                "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hello"}],
                "model": "parrot",
                "temperature": 0.5,
                "stream": True,
            }
        ]
        assert llm.keys == ["sk-12345"]

    def test_has_a_bound(self, stage: Any) -> None:
        asked, _ = ask(stage, "words=100", max_answer=50)
        assert (asked.status, asked.data) == ("error", {"reason": "the answer is longer than 50 characters"})


class TestTheEndOfAQuery:
    @pytest.mark.parametrize("q", ["hang=0", "hang=1"])
    def test_by_interrupt_closes_the_stream(self, stage: Any, q: str) -> None:
        async def main() -> None:
            async with stage({"model": ModelHandler(model="parrot", base_url=llm.url)}) as s:
                asked = s.submit("model", q)
                await asyncio.to_thread(llm.asked.wait, PATIENCE)
                if q == "hang=1":
                    await asked.any_thought()
                s.scheduler.interrupt(asked.job, "enough")
                assert (await asked.ended()).status == "interrupted"
                assert await asyncio.to_thread(llm.closed.wait, PATIENCE)

        with LocalModel() as llm:
            asyncio.run(main())

    def test_by_timeout_closes_the_stream(self, stage: Any) -> None:
        async def main() -> None:
            async with stage({"model": ModelHandler(model="parrot", base_url=llm.url)}) as s:
                assert (await s.ask("model", "hang=1", timeout=0.3)).status == "timeout"
                assert await asyncio.to_thread(llm.closed.wait, PATIENCE)

        with LocalModel() as llm:
            asyncio.run(main())


class TestWhatGoesWrong:
    @pytest.mark.parametrize(
        ("q", "data"),
        [
            ("status=429 retry_after=2", {"reason": "rate_limited", "retry_after_ms": 2000}),
            ("status=429 retry_after_ms=15", {"reason": "rate_limited", "retry_after_ms": 15}),
            ("status=429", {"reason": "rate_limited"}),
            ("status=503 retry_after=1", {"reason": "overloaded", "retry_after_ms": 1000}),
            ("status=529", {"reason": "overloaded"}),
            ("status=429 code=insufficient_quota", {"reason": "upstream_refused"}),
            ("status=401", {"reason": "upstream_refused"}),
            ("status=400 code=context_length_exceeded", {"reason": "upstream_refused"}),
            ("status=500", {"reason": "upstream_error"}),
            ("fail=1", {"reason": "upstream_error"}),
            ("cut=1", {"reason": "upstream_broken"}),
            ("stop=1", {"reason": "upstream_broken"}),
            ("garbage=1", {"reason": "upstream_broken"}),
        ],
    )
    def test_there_is_told_in_our_words_and_none_of_theirs(self, stage: Any, q: str, data: dict[str, Any]) -> None:
        asked, _ = ask(stage, q)
        assert asked.status == "error"
        assert "secret" not in str(asked.data)
        assert asked.data.pop("detail")
        assert asked.data == data

    def test_in_the_request_is_told_by_the_endpoints_code(self, stage: Any) -> None:
        asked, _ = ask(stage, "status=400 code=context_length_exceeded")
        detail = "the model's endpoint refused the request with status 400 (context_length_exceeded)"
        assert asked.data["detail"] == detail

    @pytest.mark.parametrize("q", ["hang=0", "hang=1", "status=504"])
    def test_by_silence_is_a_timeout(self, stage: Any, q: str) -> None:
        asked, _ = ask(stage, q, timeout=0.3)
        assert (asked.status, asked.data["reason"]) == ("timeout", "timeout")

    def test_before_a_connection_is_told_as_that(self, stage: Any) -> None:
        asked, _ = ask(stage, "", base_url="http://127.0.0.1:1/v1")
        assert asked.data == {"reason": "upstream_unreachable", "detail": "no connection to the model's endpoint"}

    def test_is_not_tried_again_behind_the_askers_back(self, stage: Any) -> None:
        _, llm = ask(stage, "status=503")
        assert len(llm.requests) == 1

    def test_goes_to_the_log(self, stage: Any, caplog: pytest.LogCaptureFixture) -> None:
        ask(stage, "status=500 code=server_error")
        assert "a secret" in caplog.text


class TestTheKey:
    def test_comes_from_the_variable_that_is_named(self, stage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OTHER_KEY", "another")
        assert ask(stage, "", api_key_env="OTHER_KEY")[1].keys == ["another"]

    def test_that_is_missing_is_named_and_looked_for_again(
        self, stage: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.CRITICAL)

        async def main() -> tuple[Any, Any]:
            async with stage({"model": ModelHandler(model="parrot", base_url=llm.url)}) as s:
                monkeypatch.delenv("OPENAI_API_KEY")
                before = await s.ask("model")
                monkeypatch.setenv("OPENAI_API_KEY", "here")
                return before, await s.ask("model")

        with LocalModel() as llm:
            before, after = asyncio.run(main())
        assert before.data == {"reason": "the server's environment has no OPENAI_API_KEY"}
        assert after.status == "success"

    def test_need_not_be_there_for_an_endpoint_that_wants_none(
        self, stage: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("OPENAI_API_KEY")
        assert ask(stage, "", api_key_env=None)[0].status == "success"

    def test_is_no_option(self) -> None:
        with pytest.raises(TypeError, match="api_key"):
            ModelHandler(model="parrot", api_key="sk-12345")  # type: ignore[call-arg]


class TestOptions:
    @pytest.mark.parametrize("option", ["timeout", "connect_timeout", "max_answer"])
    def test_a_bound_that_is_none_is_refused_by_name(self, option: str) -> None:
        with pytest.raises(ValueError, match=option):
            ModelHandler(model="parrot", **{option: 0})

    def test_a_negative_interval_is_refused_by_name(self) -> None:
        with pytest.raises(ValueError, match="interval"):
            ModelHandler(model="parrot", interval=-1)

    def test_what_the_handler_says_itself_is_no_parameter(self) -> None:
        with pytest.raises(ValueError, match="parameters: messages, stream"):
            ModelHandler(model="parrot", parameters={"messages": [], "stream": False})

    def test_without_the_package_the_extra_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        imported = builtins.__import__

        def without(name: str, *args: Any, **more: Any) -> Any:
            if name == "openai":
                raise ImportError(name)
            return imported(name, *args, **more)

        monkeypatch.setattr(builtins, "__import__", without)
        registry = HandlerRegistry.discover(options={"model": {"model": "parrot"}})
        with pytest.raises(HandlerUnavailable, match=r"jupyter-synapse\[llm\]"):
            registry.get("model")

    def test_it_shows_its_model(self) -> None:
        assert repr(ModelHandler(model="parrot")) == "<ModelHandler 'parrot'>"


@pytest.mark.parametrize(
    ("headers", "after"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, None),
        ({"retry-after": "1e300"}, None),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after-ms": "x"}, None),
        ({"retry-after": "²"}, None),
    ],
)
def test_when_to_ask_again_is_read_from_the_headers(headers: dict[str, str], after: float | None) -> None:
    assert _retry_after(headers) == after
