"""Where tasks run: on this machine by loky, or wherever a `concurrent.futures.Executor` or a Dask cluster is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Any

from synapse.experiment.errors import StudyError


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
            yield client.get_executor(pure=False)
    elif hasattr(executor, "get_executor"):
        yield executor.get_executor(pure=False)
    elif hasattr(executor, "get_client"):
        with executor.get_client() as client:
            yield client.get_executor(pure=False)
    else:
        raise StudyError(
            "executor",
            f"must be an Executor, a Dask client or cluster, or an address as tcp://host:8786; not {executor!r}",
        )


def _dask(address: str) -> Any:
    try:
        from distributed import Client
    except ImportError:
        raise StudyError("executor", "needs Dask: pip install jupyter-synapse[cluster]") from None
    try:
        return Client(address, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, ValueError, TypeError) as error:
        raise StudyError("executor", f"no Dask scheduler answers at {address!r}: {error}") from None
