"""A formula for numbers becomes one for arrays: every formula is written once, for plain numbers.

So an array's answer is its elements' answers, to the last bit.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeAlias, TypeVar, cast

import numpy as np

from synapse.theory.errors import TheoryError
from synapse.theory.result import Result

Numbers: TypeAlias = float | Sequence[float] | np.ndarray[Any, Any]
"""A number, or an array of numbers."""

P = ParamSpec("P")
T = TypeVar("T")


def elementwise(formula: Callable[P, T]) -> Callable[P, T]:
    """Make a formula, or a method of a result, accept arrays, which are broadcast as numpy does.

    A formula that gives a `Result` then gives one whose fields are arrays.
    """

    @functools.wraps(formula)
    def over(*args: P.args, **kwargs: P.kwargs) -> T:
        if not any(_is_array(value) for value in (*args, *kwargs.values())):
            return formula(*args, **kwargs)
        call = cast("Callable[..., T]", formula)
        grid = np.broadcast(*(_elements(value) for value in (*args, *kwargs.values())))
        if not grid.size:
            raise TheoryError("array", [], "", "one element long at least")
        answers = [call(*row[: len(args)], **dict(zip(kwargs, row[len(args) :], strict=True))) for row in grid]
        return cast("T", _stacked(answers, grid.shape))

    return over


def _is_array(value: object) -> bool:
    return bool(_shape(value) if isinstance(value, Result) else np.ndim(cast("Any", value)))


def _shape(result: Result) -> tuple[int, ...]:
    return np.shape(getattr(result, dataclasses.fields(result)[0].name))


def _elements(value: Any) -> np.ndarray[Any, Any]:
    if not isinstance(value, Result):
        return np.asarray(value)
    names = [field.name for field in dataclasses.fields(value)]
    columns = [np.ravel(getattr(value, name)).tolist() for name in names]
    elements = np.empty(len(columns[0]), dtype=object)
    elements[:] = [type(value)(*row) for row in zip(*columns, strict=True)]
    return elements.reshape(_shape(value))


def _stacked(answers: list[Any], shape: tuple[int, ...]) -> Any:
    first = answers[0]
    if not isinstance(first, Result):
        return np.array(answers).reshape(shape)
    names = [field.name for field in dataclasses.fields(first)]
    return type(first)(**{name: _stacked([getattr(answer, name) for answer in answers], shape) for name in names})
