"""`@on_demand_feature_view`: an on-demand view, as its author writes it over a function."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gnomon.definitions.entities import Entity, Field
from gnomon.definitions.on_demand import OnDemandFeatureView
from gnomon.definitions.request_sources import RequestSource, checked_fields
from gnomon.definitions.views import Projection, View
from gnomon.errors import DefinitionError

__all__ = ["on_demand_feature_view"]


def on_demand_feature_view(
    *,
    sources: Sequence[View | Projection | RequestSource],
    schema: Sequence[Field],
    mode: str | None = None,
    name: str | None = None,
    version: int = 1,
    description: str = "",
    owner: str = "",
    tags: Mapping[str, str] | None = None,
    entities: Sequence[Entity | str] | None = None,
    singleton: bool = False,
    write_to_online_store: bool = False,
) -> Callable[[Callable[..., Any]], OnDemandFeatureView]:
    """Make an on-demand view of a function.

    Args:
        sources: feature views, on-demand views, both also picked, renamed or re-keyed, and request sources.
        schema: the features, with their types.
        mode: `python` (values of one row in; a value or a dict out), `numpy` (arrays in and out), `pandas` (a frame in
            and out), or `sql` (the function returns expressions). By default `python`; `pandas` for a function whose
            one parameter is annotated as a `DataFrame`.
        name: the view's name; by default the function's.
        version: 1 or more.
        description: for people; by default the function's docstring.
        owner: for people.
        tags: for people; text to text.
        entities: accepted as Feast has it.
        singleton: of a `python` function that takes a dict: whether this holds values, not lists of one value each.
        write_to_online_store: accepted as Feast has it, if false: values are computed when they are asked for.

    Raises:
        DefinitionError: the function or an argument is unusable.

    >>> from gnomon.types import Float64
    >>> payment = RequestSource(name="payment", schema=[Field("amount", Float64)])
    >>> @on_demand_feature_view(sources=[payment], schema=[Field("doubled", Float64)])
    ... def doubled(amount):
    ...     return amount * 2
    >>> doubled.id, doubled.feature_names, [one.name for one in doubled.wanted]
    ('doubled@1', ('doubled',), ['amount'])
    """
    if write_to_online_store:
        raise DefinitionError(
            "on-demand views are not written to the online store.",
            hint="leave write_to_online_store out; what should be stored is a feature view of a source that has it.",
        )

    def made(function: Callable[..., Any]) -> OnDemandFeatureView:
        called = str(name or getattr(function, "__name__", ""))
        told = description or inspect.getdoc(function) or ""
        shared: Any = {"name": called, "sources": sources, "schema": schema, "version": version, "owner": owner}
        shared |= {"description": told, "tags": tags, "entities": entities}
        if mode == "sql":
            return OnDemandFeatureView(mode=mode, expressions=_returned(called, function, schema), **shared)
        chosen = mode or ("pandas" if _takes_frame(function) else "python")
        return OnDemandFeatureView(mode=chosen, function=function, singleton=singleton, **shared)

    return made


def _takes_frame(function: Any) -> bool:
    """Whether a function's one parameter is annotated as a pandas frame."""
    parameters = list(inspect.signature(function).parameters.values()) if callable(function) else []
    if len(parameters) != 1:
        return False
    said = parameters[0].annotation
    if isinstance(said, str):
        return said in ("DataFrame", "pd.DataFrame", "pandas.DataFrame")
    return getattr(said, "__name__", "") == "DataFrame" and said.__module__.partition(".")[0] == "pandas"


def _returned(name: str, function: Callable[..., Any], schema: Any) -> Mapping[str, str]:
    """The expressions that a function returns: one text, or a text for each feature."""
    owner = f"on-demand feature view {name!r}"
    if inspect.signature(function).parameters:
        raise DefinitionError(f"{owner}: its function takes parameters.", hint="mode='sql' wants one that returns SQL.")
    found = function()
    fields = checked_fields(owner, schema)
    if isinstance(found, str) and len(fields) == 1:
        return {fields[0].name: found}
    if isinstance(found, Mapping):
        return found
    raise DefinitionError(
        f"{owner}: its function gives {found!r:.80}, not an expression for each feature.",
        hint="return {'feature': 'amount / mean', …}; of one feature also the text alone.",
    )
