"""Feature services: the features one model asks for, under one name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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
from gnomon.definitions.logging import OWN, LoggingConfig, columns_of
from gnomon.definitions.views import Projection, View
from gnomon.errors import DefinitionError

__all__ = ["FeatureService", "logged_names"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureService:
    """The features one model asks for.

    Args:
        name: the service's name.
        features: views, on-demand views, picked features (`view[["age"]]`), renamed or re-keyed views.
        description: for people.
        owner: for people.
        tags: for people; text to text.
        logging_config: which requests are logged; None for none.

    Raises:
        DefinitionError: something in `features` is no view, or two of them go by one name; or requests shall be logged,
            and a column is called like one that the log has for itself.

    >>> from gnomon import FeatureView, FileSource
    >>> airport = FeatureView(name="airport", entities=["faa"], source=FileSource(path="airports.parquet"))
    >>> origin = airport.with_name("from").with_join_key_map({"faa": "origin"})
    >>> dest = airport.with_name("to").with_join_key_map({"faa": "dest"})
    >>> [part.columns for part in FeatureService(name="delays", features=[origin, dest]).features]
    [('origin',), ('dest',)]
    """

    name: str
    features: tuple[Projection, ...]
    description: str = describing(default="")
    owner: str = describing(default="")
    tags: Mapping[str, str] = describing(default_factory=FrozenMap)
    logging_config: LoggingConfig | None = describing(default=None)  # noqa: RUF009

    if TYPE_CHECKING:
        # What may be written, which is more than what is kept.
        def __init__(
            self,
            *,
            name: str,
            features: Sequence[View | Projection],
            description: str = "",
            owner: str = "",
            tags: Mapping[str, str] | None = None,
            logging_config: LoggingConfig | None = None,
        ) -> None: ...

    def __post_init__(self) -> None:
        owner = f"feature service {check_name('feature service', self.name)!r}"
        parts = tuple(_projection(owner, part) for part in listed(owner, "features", self.features))
        if not parts:
            raise DefinitionError(f"{owner} has no features.", hint="features=[view, other_view[['a', 'b']], …].")
        if twice := duplicates(part.name for part in parts):
            raise DefinitionError(
                f"{owner}: two of its views go by the name {twice[0]!r}.",
                hint="give one of them another: view.with_name('other').",
            )
        check_texts(owner, description=self.description, owner=self.owner)
        put(self, features=parts, tags=check_tags(owner, self.tags))
        if self.logging_config is not None:
            _check_logging(owner, self.logging_config, parts)


def _projection(owner: str, part: Any) -> Projection:
    if isinstance(part, View):
        return Projection(view=part)
    if isinstance(part, Projection):
        return part
    raise DefinitionError(
        f"{owner}: {part!r} is no view.", hint="features is a list of views: [profile, spend[['total']]]."
    )


def _check_logging(owner: str, config: Any, parts: Sequence[Projection]) -> None:
    """Each column of the log has a name of its own, as far as the features are known."""
    if not isinstance(config, LoggingConfig):
        raise DefinitionError(
            f"{owner}: logging_config is {config!r:.80}.", hint="logging_config=LoggingConfig(sample_rate=0.1)."
        )
    names = logged_names([(part.name, part.feature_names) for part in parts])
    features = [column for some in names for name in some for column in columns_of(name)]
    keys = dict.fromkeys(column for part in parts for column in part.columns)
    for key in keys:
        check_unreserved(f"{owner}: the served-row log", key)
    if twice := duplicates([*OWN, *keys, *features]):
        raise DefinitionError(
            f"{owner}: the served-row log would have two columns {twice[0]!r}.",
            instead=f"Its own are: {', '.join(OWN)}; each feature has f, f__status and f__ts.",
            hint="rename the feature, or look the join key up by another column: view.with_join_key_map({…}).",
        )


def logged_names(parts: Sequence[tuple[str, Sequence[str]]]) -> list[list[str]]:
    """What features are called in the served-row log: by their own names, or all `view__feature` if some share one.

    Args:
        parts: of each view, the name it goes by and its features.

    >>> logged_names([("profile", ["age"]), ("spend", ["total"])]), logged_names([("a", ["x"]), ("b", ["x"])])
    ([['age'], ['total']], [['a__x'], ['b__x']])
    """
    clash = duplicates(feature for _, features in parts for feature in features)
    return [[f"{view}__{feature}" if clash else feature for feature in features] for view, features in parts]
