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

from collections.abc import Callable, Mapping, Sequence
from dataclasses import InitVar, dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from gnomon.core.functions import Code, signature_of
from gnomon.definitions.base import (
    FrozenMap,
    check_name,
    check_tags,
    check_texts,
    describing,
    duplicates,
    listed,
    put,
)
from gnomon.definitions.entities import Entity, Field
from gnomon.definitions.inputs import Input, are_open, by_name, inputs_of, shortest_names
from gnomon.definitions.request_sources import RequestSource, checked_fields
from gnomon.definitions.views import Projection, View
from gnomon.errors import DefinitionError, listing, nearest_hint

if TYPE_CHECKING:
    from gnomon.core.expressions import Expression

__all__ = ["MODES", "OnDemandFeatureView"]

MODES = ("python", "numpy", "pandas", "sql")


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
            schema=checked_fields(owner, self.schema),
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
        return self.code.parameters or shortest_names(self.sources)

    @property
    def inputs(self) -> dict[str, Input]:
        """All that its sources have, by name; a name that two of them have goes with its source's: `source__name`."""
        return by_name(self.sources)


def _source(owner: str, source: Any) -> Projection | RequestSource:
    if isinstance(source, View):
        return Projection(view=source)
    if isinstance(source, (Projection, RequestSource)):
        return source
    raise DefinitionError(
        f"{owner}: {source!r:.80} is no source of it.",
        hint="sources is a list of feature views, on-demand views and request sources.",
    )


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


def _check_no_function(owner: str, function: Any, code: Any) -> None:
    if function is not None or code is not None:
        raise DefinitionError(f"{owner}: mode='sql' takes no function.", hint="expressions={'feature': 'a / b'}.")


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


@lru_cache(maxsize=1_024)
def _parsed(text: str) -> Expression:
    """An expression, read once: a view is asked for what it looks at again and again."""
    from gnomon.core.expressions import parse

    return parse(text, value=True)


def _check_names(owner: str, view: OnDemandFeatureView) -> None:
    """See that what is looked at is there, and that no feature is called like it."""
    if not view.looked_at and not are_open(view.sources):
        hint = "a value that hangs on nothing needs no view."
        raise DefinitionError(f"{owner} looks at none of its sources' values.", hint=hint)
    known = view.inputs
    what = "its function takes" if view.mode != "sql" else "an expression looks at"
    for name in () if are_open(view.sources) else view.looked_at:
        if name in known:
            continue
        having = [source.name for source in view.sources if name in (one.name for one in inputs_of(source))]
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
