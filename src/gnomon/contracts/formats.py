"""A format: bytes of messages in, columns out. One message that cannot be read keeps no other back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import pyarrow as pa

    from gnomon.types import FeatureType

__all__ = ["Decoded", "Decoder"]


@dataclass(frozen=True, slots=True)
class Decoded:
    """Messages as columns.

    Args:
        columns: field → its values, one a message, in pieces: Arrow columns, and Python values of whatever types came.
        failed: the number of a message that could not be read → why; its values are None.
        unknown: fields that were seen and not asked for; not all of them need be looked for.
    """

    columns: Mapping[str, Sequence[pa.ChunkedArray | list[Any]]]
    failed: Mapping[int, str] = field(default_factory=dict)
    unknown: Sequence[str] = ()


class Decoder(Protocol):
    """Reads messages of one format, made as `Decoder(format, fields)`: the definition, and field → type wanted.

    Making one raises `DefinitionError` where the format cannot be followed, `MissingExtra` where a package is missing.
    """

    def decode(self, payloads: Sequence[bytes]) -> Decoded:
        """The messages' fields; a field that a message lacks is None."""
        ...


Fields = Mapping[str, "FeatureType"]
"""Field of a message → the type wanted of it."""
