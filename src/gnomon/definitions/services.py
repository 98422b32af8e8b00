"""Feature services: the features one model asks for, under one name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gnomon.definitions.base import FrozenMap, check_name, check_tags, check_texts, describing, duplicates, listed, put
from gnomon.definitions.views import Projection, View
from gnomon.errors import DefinitionError

__all__ = ["FeatureService"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureService:
    """The features one model asks for.

    Args:
        name: the service's name.
        features: views, on-demand views, picked features (`view[["age"]]`), renamed or re-keyed views.
        description: for people.
        owner: for people.
        tags: for people; text to text.

    Raises:
        DefinitionError: something in `features` is no view, or two of them go by one name.

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


def _projection(owner: str, part: Any) -> Projection:
    if isinstance(part, View):
        return Projection(view=part)
    if isinstance(part, Projection):
        return part
    raise DefinitionError(
        f"{owner}: {part!r} is no view.", hint="features is a list of views: [profile, spend[['total']]]."
    )
