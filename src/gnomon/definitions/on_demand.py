"""On-demand views: features computed when they are asked for, from other features and from what comes with the request.

    @on_demand_feature_view(
        sources=[spend, RequestSource(name="payment", schema=[Field("amount", Float64)])],
        schema=[Field("amount_vs_mean", Float64)],
    )
    def amount_vs_mean(amount, amount_mean_30d):
        return amount / amount_mean_30d if amount_mean_30d else None

The same function makes training sets and online answers.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import InitVar, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from gnomon.core.functions import Code, signature_of
from gnomon.definitions.base import (
    FrozenMap,
    check_name,
    check_tags,
    check_texts,
    check_unreserved,
    describing,
    duplicates,
    listed,
    put,
)
from gnomon.definitions.entities import Entity, Field
from gnomon.definitions.views import FeatureView, Projection, View
from gnomon.errors import DefinitionError, listing, nearest_hint
from gnomon.types import FeatureType

if TYPE_CHECKING:
    from gnomon.core.expressions import Expression

__all__ = ["MODES", "Input", "OnDemandFeatureView", "RequestSource", "on_demand_feature_view"]

MODES = ("python", "numpy", "pandas", "sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestSource:
    """Values that come with each request, beside the join keys; in training they are columns of the rows asked.

    Args:
        name: the source's name.
        schema: the values, by name and type.
        description: for people.
        owner: for people.
        tags: for people; text to text.

    Raises:
        DefinitionError: a name is unusable or stands twice, or there are no values.

    >>> from gnomon.types import Float64
    >>> RequestSource(name="payment", schema=[Field("amount", Float64)]).schema[0].name
    'amount'
    """

    name: str
    schema: tuple[Field, ...]
    description: str = describing(default="")
    owner: str = describing(default="")
    tags: Mapping[str, str] = describing(default_factory=FrozenMap)

    if TYPE_CHECKING:
        # What may be written, which is more than what is kept.
        def __init__(
            self,
            *,
            name: str,
            schema: Sequence[Field],
            description: str = "",
            owner: str = "",
            tags: Mapping[str, str] | None = None,
        ) -> None: ...

    def __post_init__(self) -> None:
        owner = f"request source {check_name('request source', self.name)!r}"
        schema = _fields(owner, self.schema)
        for one in schema:
            if one.default is not None:
                hint = "say in the function what stands for null."
                raise DefinitionError(f"{owner}: {one.name!r} has a default.", hint=hint)
        check_texts(owner, description=self.description, owner=self.owner)
        put(self, schema=schema, tags=check_tags(owner, self.tags))


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One value that an on-demand view may look at.

    Args:
        name: what its function calls it.
        source: the view, as it is used, or the request source.
        feature: the feature's name there, or the value's.
        dtype: its type; None while that is not known.
    """

    name: str
    source: Projection | RequestSource
    feature: str
    dtype: FeatureType | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OnDemandFeatureView(View):
    """Features that a function, or SQL, computes from features and from values that come with the request.

    Args:
        name: the view's name.
        sources: feature views, on-demand views, both also picked, renamed or re-keyed, and request sources.
        schema: the features, with their types.
        mode: what the function takes and gives: `python` values of one row, `numpy` arrays, `pandas` a frame; `sql` for
            expressions.
        code: the function as a registry holds it; filled from `function`, not by hand.
        expressions: for `sql`, an expression for each feature.
        singleton: of a `python` function that takes a dict: whether this holds values, not lists of one value each.
        version: 1 or more; versions of one view live side by side.
        description: for people.
        owner: for people.
        tags: for people; text to text.
        function: the function.
        entities: accepted as Feast has it; the sources say what the features are about.

    Raises:
        DefinitionError: a name is unusable, sources collide, or the function takes what no source has.
    """

    name: str
    sources: tuple[Projection | RequestSource, ...]
    schema: tuple[Field, ...]
    mode: str = "python"
    code: Code | None = None
    expressions: Mapping[str, str] = field(default_factory=FrozenMap)
    singleton: bool = False
    version: int = 1
    description: str = describing(default="")
    owner: str = describing(default="")
    tags: Mapping[str, str] = describing(default_factory=FrozenMap)
    function: InitVar[Callable[..., Any] | None] = None
    entities: InitVar[Sequence[Entity | str] | None] = None

    if TYPE_CHECKING:
        # What may be written, which is more than what is kept.
        def __init__(
            self,
            *,
            name: str,
            sources: Sequence[View | Projection | RequestSource],
            schema: Sequence[Field],
            mode: str = "python",
            code: Code | None = None,
            expressions: Mapping[str, str] | None = None,
            singleton: bool = False,
            version: int = 1,
            description: str = "",
            owner: str = "",
            tags: Mapping[str, str] | None = None,
            function: Callable[..., Any] | None = None,
            entities: Sequence[Entity | str] | None = None,
        ) -> None: ...

    def __post_init__(self, function: Callable[..., Any] | None, entities: Any) -> None:
        owner = f"on-demand feature view {check_name('on-demand feature view', self.name)!r}"
        if self.mode not in MODES:
            raise DefinitionError(f"{owner}: mode is {self.mode!r}.", hint=f"mode is one of {', '.join(MODES)}.")
        sources = tuple(_source(owner, one) for one in listed(owner, "sources", self.sources))
        if not sources:
            raise DefinitionError(f"{owner} has no sources.", hint="sources=[view, RequestSource(…), …].")
        if twice := duplicates(one.name for one in sources):
            hint = "give one of them another: view.with_name('other')."
            raise DefinitionError(f"{owner}: two of its sources go by the name {twice[0]!r}.", hint=hint)
        if isinstance(self.version, bool) or not isinstance(self.version, int) or self.version < 1:
            raise DefinitionError(f"{owner}: version is {self.version!r}.", hint="version is a whole number from 1.")
        check_texts(owner, description=self.description, owner=self.owner)
        listed(owner, "entities", entities)
        put(
            self,
            sources=sources,
            schema=_fields(owner, self.schema),
            expressions=check_tags(owner, self.expressions, "expressions"),
            singleton=bool(self.singleton),
            tags=check_tags(owner, self.tags),
        )
        if self.mode == "sql":
            _check_no_function(owner, function, self.code)
            put(self, expressions=FrozenMap(_expressions(owner, self)))
        else:
            put(self, code=_code(owner, self, function))
        _check_names(owner, self)
        if self.mode == "sql":
            _check_types(owner, self)

    @property
    def wanted(self) -> tuple[Input, ...]:
        """The inputs that it looks at, in the order in which its function takes them."""
        known = self.inputs
        return tuple(known[name] for name in self.looked_at)

    @property
    def looked_at(self) -> tuple[str, ...]:
        """The names of the inputs that it looks at."""
        if self.mode == "sql":
            columns = (name for text in self.expressions.values() for name in _parsed(text).columns)
            return tuple(dict.fromkeys(columns))
        assert self.code is not None
        return self.code.parameters or self._all

    @property
    def inputs(self) -> dict[str, Input]:
        """All that its sources have: by the names of features and values, and by `source__name`.

        A name that two sources have is not among them.
        """
        found = [one for source in self.sources for one in _inputs(source)]
        twice = set(duplicates(one.name for one in found))
        full = {name: replace(one, name=name) for one in found for name in [f"{one.source.name}__{one.name}"]}
        return full | {one.name: one for one in found if one.name not in twice}

    @property
    def _all(self) -> tuple[str, ...]:
        """The inputs, each once, by the shortest name that tells it from others."""
        found = [one for source in self.sources for one in _inputs(source)]
        twice = set(duplicates(one.name for one in found))
        return tuple(f"{one.source.name}__{one.name}" if one.name in twice else one.name for one in found)


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


def _fields(owner: str, given: Any) -> tuple[Field, ...]:
    fields = listed(owner, "schema", given)
    if not fields:
        raise DefinitionError(f"{owner} has no schema.", hint="schema=[Field(name='amount', dtype=Float64), …].")
    for one in fields:
        if not isinstance(one, Field):
            hint = "schema=[Field(name='amount', dtype=Float64), …]."
            raise DefinitionError(f"{owner}: {one!r} is no Field.", hint=hint)
        check_unreserved(owner, one.name)
    if twice := duplicates(one.name for one in fields):
        raise DefinitionError(f"{owner}: {twice[0]!r} stands twice.", hint="name each field once.")
    return fields


def _source(owner: str, source: Any) -> Projection | RequestSource:
    if isinstance(source, View):
        return Projection(view=source)
    if isinstance(source, (Projection, RequestSource)):
        return source
    raise DefinitionError(
        f"{owner}: {source!r:.80} is no source of it.",
        hint="sources is a list of feature views, on-demand views and request sources.",
    )


def _inputs(source: Projection | RequestSource) -> list[Input]:
    """What a source has, as far as that is known."""
    types = {one.name: one.dtype for one in (source if isinstance(source, RequestSource) else source.view).schema}
    names = types if isinstance(source, RequestSource) else source.feature_names
    return [Input(name=name, source=source, feature=name, dtype=types.get(name)) for name in names]


def _is_open(view: OnDemandFeatureView) -> bool:
    """Whether a source's features are not known yet: those of a row view that are read from its files."""
    used = [one for one in view.sources if isinstance(one, Projection)]
    return any(isinstance(one.view, FeatureView) and not one.view.feature_names and not one.features for one in used)


def _code(owner: str, view: OnDemandFeatureView, function: Callable[..., Any] | None) -> Code:
    if view.expressions:
        raise DefinitionError(f"{owner}: expressions are for mode='sql'.", hint="say mode='sql', or leave them out.")
    if (function is None) == (view.code is None):
        hint = "decorate a function: @on_demand_feature_view(…), or pass function=."
        raise DefinitionError(f"{owner} has no function, or two.", hint=hint)
    if function is None:
        assert view.code is not None
        return view.code
    try:
        whole = view.mode == "pandas" or (view.mode == "python" and _takes_dict(function, view))
        if whole and len(signature_of(function)) != 1:
            hint = "mode='pandas' takes a function of one DataFrame."
            raise DefinitionError(f"the function {function.__name__!r} takes several parameters.", hint=hint)
        return Code.of(function, whole=whole)
    except DefinitionError as wrong:
        raise DefinitionError(f"{owner}: {wrong.what}", instead=wrong.instead, hint=wrong.hint) from None


def _takes_dict(function: Callable[..., Any], view: OnDemandFeatureView) -> bool:
    """Whether a function's one parameter stands for all inputs, as in Feast."""
    parameters = list(signature_of(function).values())
    if len(parameters) != 1:
        return False
    (one,) = parameters
    said = one.annotation if isinstance(one.annotation, str) else getattr(one.annotation, "__name__", "")
    origin = getattr(one.annotation, "__origin__", one.annotation)
    is_dict = origin is dict or said.lower().startswith(("dict", "mapping", "typing.dict"))
    return is_dict or (one.name == "inputs" and "inputs" not in view.inputs)


def _takes_frame(function: Any) -> bool:
    """Whether a function's one parameter is annotated as a pandas frame."""
    parameters = list(inspect.signature(function).parameters.values()) if callable(function) else []
    if len(parameters) != 1:
        return False
    said = parameters[0].annotation
    if isinstance(said, str):
        return said in ("DataFrame", "pd.DataFrame", "pandas.DataFrame")
    return getattr(said, "__name__", "") == "DataFrame" and said.__module__.partition(".")[0] == "pandas"


def _check_no_function(owner: str, function: Any, code: Any) -> None:
    if function is not None or code is not None:
        raise DefinitionError(f"{owner}: mode='sql' takes no function.", hint="expressions={'feature': 'a / b'}.")


def _returned(name: str, function: Callable[..., Any], schema: Any) -> Mapping[str, str]:
    """The expressions that a function returns: one text, or a text for each feature."""
    owner = f"on-demand feature view {name!r}"
    if inspect.signature(function).parameters:
        raise DefinitionError(f"{owner}: its function takes parameters.", hint="mode='sql' wants one that returns SQL.")
    found = function()
    fields = _fields(owner, schema)
    if isinstance(found, str) and len(fields) == 1:
        return {fields[0].name: found}
    if isinstance(found, Mapping):
        return found
    raise DefinitionError(
        f"{owner}: its function gives {found!r:.80}, not an expression for each feature.",
        hint="return {'feature': 'amount / mean', …}; of one feature also the text alone.",
    )


def _expressions(owner: str, view: OnDemandFeatureView) -> dict[str, str]:
    """The expressions, normalised, in the schema's order."""
    from gnomon.core.expressions import parse

    names = [one.name for one in view.schema]
    if unknown := [name for name in view.expressions if name not in names]:
        hint = nearest_hint(unknown[0], names, "add it to the schema, or take the expression out.")
        raise DefinitionError(f"{owner}: the schema has no feature {unknown[0]!r}.", hint=hint)
    if lacking := [name for name in names if name not in view.expressions]:
        raise DefinitionError(
            f"{owner}: there is no expression for {lacking[0]!r}.", hint="expressions={'feature': 'a / b'}."
        )
    return {name: parse(view.expressions[name], f"{owner}: {name}", value=True).text for name in names}


def _parsed(text: str) -> Expression:
    from gnomon.core.expressions import parse

    return parse(text, value=True)


def _check_names(owner: str, view: OnDemandFeatureView) -> None:
    """See that what is looked at is there, and that no feature is called like it."""
    if not view.looked_at and not _is_open(view):
        hint = "a value that hangs on nothing needs no view."
        raise DefinitionError(f"{owner} looks at none of its sources' values.", hint=hint)
    known = view.inputs
    what = "its function takes" if view.mode != "sql" else "an expression looks at"
    for name in () if _is_open(view) else view.looked_at:
        if name in known:
            continue
        having = [source.name for source in view.sources if name in (one.name for one in _inputs(source))]
        if having:
            raise DefinitionError(
                f"{owner}: {what} {name!r}, which {listing(having)} all have.",
                hint=f"write {having[0]}__{name} for that of {having[0]}; or pick features, view[['a', 'b']], or "
                "rename a source, view.with_name('other').",
            )
        plain = [one for one in known if "__" not in one] or list(known)
        raise DefinitionError(
            f"{owner}: {what} {name!r}, which no source has.",
            instead=f"They have: {listing(plain)}.",
            hint=nearest_hint(name, known, "name inputs as features and request values are called."),
        )
    keys = {key for one in view.sources if isinstance(one, Projection) for key in one.columns}
    for one in view.schema:
        if one.name in view.looked_at or one.name in keys:
            kind = "a join key" if one.name in keys else "one of its inputs"
            raise DefinitionError(f"{owner}: feature {one.name!r} is called like {kind}.", hint="rename the feature.")


def _check_types(owner: str, view: OnDemandFeatureView) -> None:
    """See that expressions fit the types of what they look at, as far as these are known, and give what is declared."""
    types = {name: one.dtype for name, one in view.inputs.items() if one.dtype is not None}
    for one in view.schema:
        expression = _parsed(view.expressions[one.name])
        if all(name in types for name in expression.columns):
            expression.giving(one.dtype, types, f"{owner}: {one.name}")
