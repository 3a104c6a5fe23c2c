"""Where tasks run: on this machine by loky, or wherever a `concurrent.futures.Executor` or a Dask cluster is."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from typing import Any

from synapse.experiment.errors import StudyError

ADDRESS = re.compile(r"(tcp|tls|ucx|wss?)://(\[[^\]\s]+\]|[^:\s]+)(:\d+)?|inproc://\S+")
PATIENCE = 10.0  # s to wait for a scheduler


@contextmanager
def pool_of(executor: Any = None) -> Iterator[Executor]:
    """What runs tasks.

    Parameters
    ----------
    executor
        None: processes on this machine (loky, which can run policies that are defined in a notebook; they stay for the
        next study). Or any `Executor`; the address of a Dask scheduler, ``tcp://host:8786``; or a Dask client or
        cluster. What is given stays open.

    Raises
    ------
    StudyError
        If it is none of these, or Dask is not installed.
    """
    if executor is None:
        import loky  # type: ignore[import-untyped]

        yield loky.get_reusable_executor(max_workers=os.cpu_count())
    elif isinstance(executor, Executor):
        yield executor
    elif isinstance(executor, str):
        with _dask(executor) as client:
            yield OnDask(client)
    elif hasattr(executor, "get_executor"):
        yield OnDask(executor)
    elif hasattr(executor, "get_client"):
        with executor.get_client() as client:
            yield OnDask(client)
    else:
        raise StudyError(
            "executor",
            f"must be an Executor, a Dask client or cluster, or an address as tcp://host:8786; not {executor!r}",
        )


def workers_of(pool: Executor) -> int:
    """How many tasks it works on at once, as far as it says."""
    return max(1, int(getattr(pool, "_max_workers", None) or os.cpu_count() or 1))


class OnDask(Executor):
    """A Dask client's executor, which says how many workers there are by now.

    Parameters
    ----------
    client
        The client. It stays open.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._pool = client.get_executor(pure=False)

    @property
    def _max_workers(self) -> int:
        return sum(self._client.nthreads().values())

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = self._pool.submit(fn, *args, **kwargs)
        return future


def _dask(address: str) -> Any:
    if not ADDRESS.fullmatch(address):
        raise StudyError("executor", f"must be an address as tcp://host:8786; not {address!r}")
    try:
        from distributed import Client
    except ImportError:
        raise StudyError("executor", "needs Dask: pip install jupyter-synapse[cluster]") from None
    try:
        return Client(address, timeout=PATIENCE, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, ValueError, TypeError) as error:
        raise StudyError("executor", f"no Dask scheduler answers at {address!r}: {error}") from None
