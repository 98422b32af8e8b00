"""Entities: what features are about, and the join keys that name one of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gnomon import types
from gnomon.core.defaults import check_default, plain
from gnomon.definitions.base import (
    FrozenMap,
    check_column,
    check_name,
    check_tags,
    check_texts,
    describing,
    duplicates,
    listed,
    put,
)
from gnomon.errors import DefinitionError
from gnomon.types import FeatureType, ValueType

__all__ = ["Entity", "Field"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    """Something features are about: a card holder, a plane, a pair of airports.

    Args:
        name: the entity's name.
        join_keys: columns that together name one of them; by default one column called like the entity.
        value_type: type of the join keys; read from the source when left out.
        description: for people.
        owner: for people.
        tags: for people; text to text.

    Raises:
        DefinitionError: a name is unusable, a join key stands twice, or the type cannot be a key's.

    >>> Entity(name="route", join_keys=["origin", "dest"]).join_keys
    ('origin', 'dest')
    """

    name: str
    join_keys: tuple[str, ...] = ()
    value_type: FeatureType | None = None
    description: str = describing(default="")
    owner: str = describing(default="")
    tags: Mapping[str, str] = describing(default_factory=FrozenMap)

    if TYPE_CHECKING:
        # What may be written, which is more than what is kept.
        def __init__(
            self,
            *,
            name: str,
            join_keys: Sequence[str] | None = (),
            value_type: FeatureType | ValueType | None = None,
            description: str = "",
            owner: str = "",
            tags: Mapping[str, str] | None = None,
        ) -> None: ...

    def __post_init__(self) -> None:
        owner = f"entity {check_name('entity', self.name)!r}"
        keys = listed(owner, "join_keys", self.join_keys) or (self.name,)
        for key in keys:
            check_column(owner, key)
        if twice := duplicates(keys):
            raise DefinitionError(f"{owner}: join key {twice[0]!r} stands twice.", hint="name each join key once.")
        check_texts(owner, description=self.description, owner=self.owner)
        kind = None if self.value_type is None else check_key_type(owner, types.coerce(self.value_type, owner))
        put(self, join_keys=keys, value_type=kind, tags=check_tags(owner, self.tags))


@dataclass(frozen=True, slots=True)
class Field:
    """One column of a view: a feature, or a join key whose type is declared.

    Args:
        name: the column's name.
        dtype: its type, from `gnomon.types`.
        description: for people.
        tags: for people; text to text.
        default: what stands where a value would be null, in training sets and online; the status still says why.

    Raises:
        DefinitionError: the name is unusable, the type is none, or the default is no value of it.

    >>> from gnomon.types import Array, Float32
    >>> Field(name="embedding", dtype=Array(Float32)).dtype
    Array(Float32)
    """

    name: str
    dtype: FeatureType
    description: str = describing(default="")
    tags: Mapping[str, str] = describing(default_factory=FrozenMap)
    default: Any = field(default=None, metadata={"shown": True})

    if TYPE_CHECKING:
        # What may be written, which is more than what is kept.
        def __init__(
            self,
            name: str,
            dtype: FeatureType | ValueType | str,
            description: str = "",
            tags: Mapping[str, str] | None = None,
            default: Any = None,
        ) -> None: ...

    def __post_init__(self) -> None:
        owner = f"field {self.name!r}"
        check_column(owner, self.name)
        check_texts(owner, description=self.description)
        dtype = types.coerce(self.dtype, owner)
        default = check_default(owner, self.default, dtype)
        put(self, dtype=dtype, tags=check_tags(owner, self.tags), default=default)

    @property
    def standing_in(self) -> Any:
        """The default as columns hold it, instants as µs; None where there is none."""
        return None if self.default is None else plain(self.default, self.dtype)


Feature = Field
"""Feast's older name for `Field`."""


def check_key_type(owner: str, dtype: FeatureType) -> FeatureType:
    """A type whose values can be join keys.

    Raises:
        DefinitionError: it is not one.
    """
    if dtype in types.KEY_TYPES:
        return dtype
    raise DefinitionError(
        f"{owner}: a join key cannot be {dtype}.",
        instead=f"Key types: {', '.join(map(str, types.KEY_TYPES))}.",
        hint="if the column holds whole numbers stored as floats, declare Entity(value_type=Int64): "
        "values are cast, and one that would lose anything is an error.",
    )
