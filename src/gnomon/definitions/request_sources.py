"""Request sources: values that come with each request, beside the join keys."""

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
from gnomon.definitions.entities import Field
from gnomon.errors import DefinitionError

__all__ = ["RequestSource", "checked_fields"]


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
        schema = checked_fields(owner, self.schema)
        for one in schema:
            if one.default is not None:
                hint = "say in the function what stands for null."
                raise DefinitionError(f"{owner}: {one.name!r} has a default.", hint=hint)
        check_texts(owner, description=self.description, owner=self.owner)
        put(self, schema=schema, tags=check_tags(owner, self.tags))


def checked_fields(owner: str, given: Any) -> tuple[Field, ...]:
    """A schema that its author wrote.

    Raises:
        DefinitionError: it is empty, or something in it is no field, or reserved, or there twice.
    """
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
