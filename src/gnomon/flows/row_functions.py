"""Users' functions of one row, whatever the form in which they take it: by names, as a dict, as expressions of SQL."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gnomon.core.functions import Function
from gnomon.core.inputs import Unshown, presenter
from gnomon.core.outputs import Misfit
from gnomon.errors import DefinitionError
from gnomon.plan.questions import Computation
from gnomon.types import FeatureType

__all__ = ["Odd", "Values", "found", "of_expressions", "of_function", "safely", "shows_of"]

Values = Callable[[tuple[Any, ...]], Any]
"""Gives for one row what the function gives: a value, or a mapping of values."""


class Odd:
    """Stands for a value that has no form in Python."""

    def __init__(self, wrong: Unshown) -> None:
        self.wrong = wrong


def safely(show: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The same, but that a value without a form in Python becomes one that says so."""

    def shown(value: Any) -> Any:
        try:
            return show(value)
        except Unshown as wrong:
            return Odd(wrong)

    return shown


def shows_of(dtypes: Sequence[FeatureType]) -> tuple[Callable[[Any], Any] | None, ...]:
    """What makes values of columns such that a function takes; nothing where all are as they are."""
    shows = tuple(map(presenter, dtypes))
    return shows if any(shows) else ()


def found(computation: Computation) -> Function:
    """The function of a computation's view.

    Raises:
        DefinitionError: it is not there, or is no longer what was registered.
    """
    view = computation.view
    assert view.code is not None
    try:
        return view.code.function
    except DefinitionError as wrong:
        what = f"on-demand feature view {view.name!r}: {wrong.what}"
        raise DefinitionError(what, instead=wrong.instead, hint=wrong.hint) from wrong


def of_function(computation: Computation) -> Values:
    """A function of a row, whatever the form in which the user's takes it."""
    function, code = found(computation), computation.view.code
    names = [name for name, _, _ in computation.inputs]
    refused = bool(shows_of([dtype for _, _, dtype in computation.inputs]))
    assert code is not None
    if code.parameters:
        return _checked(lambda row: function(*row)) if refused else lambda row: function(*row)
    if computation.view.singleton:
        return _checked(lambda row: function(dict(zip(names, row, strict=True))))
    return _checked(lambda row: _alone(function({name: [one] for name, one in zip(names, row, strict=True)})))


def _checked(values: Values) -> Values:
    """The same, but that it is not called with a value that has no form in Python."""

    def of_row(row: tuple[Any, ...]) -> Any:
        for one in row:
            if type(one) is Odd:
                raise one.wrong
        return values(row)

    return of_row


def _alone(found: Any) -> Any:
    """Of lists of one value each these values, as Feast's functions give them."""
    if not isinstance(found, Mapping):
        raise Misfit(f"its function gives {found!r:.80}, not a dict of lists")
    for name, values in found.items():
        if isinstance(values, str) or not hasattr(values, "__len__") or len(values) != 1:
            raise Misfit(f"its function gives {values!r:.80} for {name!r}, not a list of one value; is it a singleton?")
    return {name: values[0] for name, values in found.items()}


def of_expressions(computation: Computation, features: Sequence[str]) -> Values:
    """Expressions as a function of a row."""
    from gnomon.core.expressions import parse

    view = computation.view
    names, types = [name for name, _, _ in computation.inputs], {name: one for name, _, one in computation.inputs}
    dtypes = {one.name: one.dtype for one in view.schema}
    compiled = [
        parse(view.expressions[feature], value=True).giving(dtypes[feature], types, f"{view.name}: {feature}").compile()
        for feature in features
    ]
    if len(features) == 1:
        (only,) = compiled
        if len(view.schema) == 1:
            return lambda row: only(dict(zip(names, row, strict=True)))

    def of_row(row: tuple[Any, ...]) -> Any:
        given = dict(zip(names, row, strict=True))
        return {feature: one(given) for feature, one in zip(features, compiled, strict=True)}

    return of_row
