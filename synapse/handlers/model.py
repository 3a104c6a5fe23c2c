"""The ``model`` handler: a language model behind any endpoint that speaks OpenAI's chat API.

OpenAI itself, vLLM, Ollama, llama.cpp, LM Studio and many others do. It comes with the extra ``llm``::

    c.SynapseApp.handlers = {"*": ["model"]}
    c.SynapseApp.handler_options = {"model": {"model": "qwen3:8b", "base_url": "http://127.0.0.1:11434/v1"}}

The query's `q` is the user's message. The answer streams: thoughts of type ``text``, and of type ``thinking`` what a
model thinks aloud. The key comes from the environment only, never from configuration, and what the endpoint says in an
error goes to the log and not to agents, since it may repeat the key, or say whose it is.

What goes wrong there ends the query with one of these reasons, with a `detail` in words:

=========================  ===========================================================================================
``rate_limited``           429. With ``retry_after_ms``, if the endpoint says when
``overloaded``             503 or 529. With ``retry_after_ms``, if it says when
``timeout``                status ``timeout``: no connection, or nothing more, for as long as `timeout` says; 408 or 504
``upstream_unreachable``   no connection
``upstream_refused``       the key, the quota, or the request is not good: asking again is of no use
``upstream_error``         it failed
``upstream_broken``        the answer broke off, or makes no sense
=========================  ===========================================================================================
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from synapse.handlers.context import Query, Think
from synapse.handlers.errors import HandlerError, HandlerTimeout, HandlerUnavailable

if TYPE_CHECKING:
    from openai import APIError, APIStatusError, AsyncOpenAI

log = logging.getLogger("synapse.handlers")

OURS = frozenset({"model", "messages", "stream", "stream_options"})
LONGEST_PAUSE = 86_400.0  # s; an endpoint that says "tomorrow" is believed, one that says "next year" is not


class ModelHandler:
    """Answers each query by one request to a chat API.

    An interrupt or a timeout of the query closes the stream, which tells most endpoints to stop.

    Parameters
    ----------
    model
        The model's name at the endpoint.
    base_url
        Of the endpoint, most often ending with ``/v1``; ``OPENAI_BASE_URL`` of the environment, or OpenAI, if absent.
    api_key_env
        Which environment variable has the key. None for an endpoint that wants none.
    system
        The system message, if any.
    parameters
        More parameters of the request: ``{"temperature": 0.2, "max_tokens": 500}``.
    usage
        Whether to ask how many tokens were used. Some endpoints do not understand that.
    timeout
        How long the endpoint may be silent, before the answer and within it, in s.
    connect_timeout
        How long a connection may take, in s.
    interval
        The least time between two thoughts, in s: tokens that come faster share one. The first comes at once.
    max_answer
        The longest answer, in characters, thinking aloud included.

    Raises
    ------
    HandlerUnavailable
        If the package ``openai`` is not installed.
    ValueError
        Naming the option that is wrong.
    """

    def __init__(
        self,
        *,
        model: str,
        base_url: str | None = None,
        api_key_env: str | None = "OPENAI_API_KEY",
        system: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        usage: bool = True,
        timeout: float = 60.0,
        connect_timeout: float = 5.0,
        interval: float = 0.05,
        max_answer: int = 1_000_000,
    ) -> None:
        try:
            import openai  # noqa: F401  now, as it takes a second
        except ImportError as error:
            raise HandlerUnavailable(
                'the handler "model" needs the extra llm: pip install "jupyter-synapse[llm]"'
            ) from error
        for name, value in {"timeout": timeout, "connect_timeout": connect_timeout, "max_answer": max_answer}.items():
            if not value > 0:
                raise ValueError(f"{name}: must be more than 0, not {value}")
        if not interval >= 0:
            raise ValueError(f"interval: must not be negative, not {interval}")
        if taken := OURS & set(parameters or {}):
            raise ValueError(f"parameters: {', '.join(sorted(taken))} cannot be set there")
        self.model = model
        self._base_url = base_url
        self._api_key_env = api_key_env
        self._system = system
        self._request: dict[str, Any] = {**(parameters or {}), "model": model, "stream": True}
        if usage:
            self._request["stream_options"] = {"include_usage": True}
        self._timeout = timeout
        self._connect_timeout = connect_timeout
        self._interval = interval
        self._max_answer = max_answer
        self._client: AsyncOpenAI | None = None

    def __repr__(self) -> str:
        return f"<ModelHandler {self.model!r}>"

    def start(self) -> None:
        """Make the client.

        Raises
        ------
        HandlerUnavailable
            If the environment has no key.
        """
        from openai import AsyncOpenAI, Timeout

        key = "none" if self._api_key_env is None else os.environ.get(self._api_key_env)
        if not key:
            raise HandlerUnavailable(f"the server's environment has no {self._api_key_env}")
        self._client = AsyncOpenAI(
            api_key=key,
            base_url=self._base_url,
            timeout=Timeout(self._timeout, connect=self._connect_timeout),
            max_retries=0,  # whether to ask again is decided by who asks
        )

    async def close(self) -> None:
        """Close all connections."""
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def __call__(self, query: Query, think: Think) -> dict[str, Any]:
        answer = _Answer(self._max_answer)
        reading = asyncio.ensure_future(self._read(query.q, answer))
        try:
            await self._tell(answer, think)
            await reading
        finally:
            reading.cancel()
            await asyncio.wait({reading})  # the stream is closed when the query has ended
            if not reading.cancelled():
                reading.exception()  # looked at: a second one is no news
        return answer.data(self.model)

    async def _tell(self, answer: _Answer, think: Think) -> None:
        """Think what is new of the answer, now and then, until it is over."""
        while True:
            await answer.news.wait()
            over = answer.over.is_set()
            for kind, text in answer.take():
                await think(text, type=kind)
            if over:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._interval):
                    await answer.over.wait()

    async def _read(self, q: str, answer: _Answer) -> None:
        """Read the answer, as fast as it comes."""
        from openai import APIError

        assert self._client is not None, "start() comes first"
        system = [] if self._system is None else [{"role": "system", "content": self._system}]
        messages = [*system, {"role": "user", "content": q}]
        try:
            # Without types: what is asked for comes from the configuration.
            create: Any = self._client.chat.completions.create
            stream = await create(messages=messages, **self._request)
            async with stream:
                async for chunk in stream:
                    answer.add(chunk)
        except HandlerError:
            raise
        except APIError as error:
            log.warning("%r: %s: %s", self, type(error).__name__, error)
            raise self._explain(error, answer) from error
        except Exception as error:
            log.warning("%r: the answer makes no sense", self, exc_info=error)
            raise HandlerError("upstream_broken", detail="the answer makes no sense") from error
        finally:
            answer.end()
        if answer.finish_reason is None:
            raise HandlerError("upstream_broken", detail="the answer broke off")

    def _explain(self, error: APIError, answer: _Answer) -> HandlerError:
        """What agents are told of an endpoint's error: nothing in its own words but its code."""
        from openai import APIConnectionError, APIStatusError, APITimeoutError

        if isinstance(error, APITimeoutError):
            return HandlerTimeout("timeout", detail=f"the model's endpoint was silent for {self._timeout:g} s")
        if isinstance(error, APIConnectionError):
            if answer.begun:
                return HandlerError("upstream_broken", detail="the answer broke off")
            return HandlerError("upstream_unreachable", detail="no connection to the model's endpoint")
        if isinstance(error, APIStatusError):
            return _explain_status(error)
        return HandlerError("upstream_error", detail=f"the model's endpoint failed within the answer{_code(error)}")


class _Answer:
    """An answer as it comes."""

    def __init__(self, longest: int) -> None:
        self.news = asyncio.Event()
        self.over = asyncio.Event()
        self.finish_reason: str | None = None
        self.begun = False
        self._longest = longest
        self._length = 0
        self._text: list[str] = []
        self._usage: dict[str, Any] | None = None
        self._model: str | None = None
        self._new: list[tuple[str, str]] = []

    def add(self, chunk: Any) -> None:
        """Take a chunk of the stream."""
        self.begun = True
        self._model = chunk.model or self._model
        if chunk.usage is not None:
            used = chunk.usage
            self._usage = {name: getattr(used, name) for name in ("prompt_tokens", "completion_tokens", "total_tokens")}
        for choice in chunk.choices[:1]:
            delta = choice.delta
            # Not OpenAI's own: what DeepSeek, vLLM and others send of a model's thinking.
            self._add("thinking", getattr(delta, "reasoning_content", None) or getattr(delta, "reasoning", None))
            self._add("text", delta.content or getattr(delta, "refusal", None))
            self.finish_reason = choice.finish_reason or self.finish_reason

    def _add(self, kind: str, text: str | None) -> None:
        if not text:
            return
        self._length += len(text)
        if self._length > self._longest:
            raise HandlerError(f"the answer is longer than {self._longest} characters")
        if kind == "text":
            self._text.append(text)
        if self._new and self._new[-1][0] == kind:
            self._new[-1] = (kind, self._new[-1][1] + text)
        else:
            self._new.append((kind, text))
        self.news.set()

    def end(self) -> None:
        """Nothing more comes."""
        self.over.set()
        self.news.set()

    def take(self) -> list[tuple[str, str]]:
        """What has come since the last time: kinds and texts."""
        new, self._new = self._new, []
        self.news.clear()
        return new

    def data(self, model: str) -> dict[str, Any]:
        """The whole of it, as the query's result."""
        data = {"text": "".join(self._text), "model": self._model or model, "finish_reason": self.finish_reason}
        return data if self._usage is None else {**data, "usage": self._usage}


def _explain_status(error: APIStatusError) -> HandlerError:
    status, where = error.status_code, "the model's endpoint"
    after = _retry_after(error.response.headers)
    if status == 429 and error.code != "insufficient_quota":
        return HandlerError("rate_limited", detail=f"{where} takes no more for now", retry_after=after)
    if status in (503, 529):
        return HandlerError("overloaded", detail=f"{where} is overloaded", retry_after=after)
    if status in (408, 504):
        return HandlerTimeout("timeout", detail=f"{where} took too long")
    if status >= 500:
        return HandlerError("upstream_error", detail=f"{where} failed with status {status}{_code(error)}")
    if status in (401, 403):
        return HandlerError("upstream_refused", detail=f"{where} does not accept the server's key")
    return HandlerError("upstream_refused", detail=f"{where} refused the request with status {status}{_code(error)}")


def _code(error: APIError) -> str:
    """The endpoint's word for what was wrong, if it is one."""
    code = error.code
    return f" ({code})" if isinstance(code, str) and code.isidentifier() and len(code) <= 64 else ""


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """When to ask again, in s, as the response says (RFC 9110, 10.2.3, and OpenAI's own header)."""
    try:
        if milliseconds := headers.get("retry-after-ms"):
            after = float(milliseconds) / 1000
        else:
            text = headers.get("retry-after", "")
            after = float(text) if text[:1].isdigit() else parsedate_to_datetime(text).timestamp() - time.time()
    except ValueError:
        return None
    return after if 0 <= after <= LONGEST_PAUSE else None
