"""The types a feature or a join key can have, each one value with one Arrow type.

>>> Array(Float32)
Array(Float32)
>>> parse("Decimal(38, 2)") == Decimal(38, 2)
True
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from gnomon.errors import DefinitionError, nearest

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "Array",
    "Bool",
    "Bytes",
    "Decimal",
    "FeatureType",
    "Float32",
    "Float64",
    "Int32",
    "Int64",
    "String",
    "UnixTimestamp",
    "ValueType",
]


@dataclass(frozen=True, slots=True)
class FeatureType:
    """A feature's type; compare with `==`, print for its name."""

    name: str

    def __repr__(self) -> str:
        return self.name

    __str__ = __repr__


Bool = FeatureType("Bool")
Int32 = FeatureType("Int32")
Int64 = FeatureType("Int64")
Float32 = FeatureType("Float32")
Float64 = FeatureType("Float64")
String = FeatureType("String")
Bytes = FeatureType("Bytes")
UnixTimestamp = FeatureType("UnixTimestamp")
"""An instant: int64 µs since the epoch, UTC."""

SCALARS = {kind.name: kind for kind in (Bool, Int32, Int64, Float32, Float64, String, Bytes, UnixTimestamp)}
KEY_TYPES = (Bool, Int32, Int64, String, Bytes, UnixTimestamp)
"""The types a join key may have: those whose equality nobody argues about."""


@dataclass(frozen=True, slots=True, repr=False, init=False)
class Decimal(FeatureType):
    """An exact decimal number.

    Args:
        precision: digits in all, 1 to 38.
        scale: digits after the point, 0 to precision.

    Raises:
        DefinitionError: precision or scale out of bounds.
    """

    precision: int
    scale: int

    def __init__(self, precision: int = 38, scale: int = 0) -> None:
        whole = type(precision) is int and type(scale) is int
        if not (whole and 1 <= precision <= 38 and 0 <= scale <= precision):
            raise DefinitionError(
                f"Decimal({precision!r}, {scale!r}) cannot be.",
                hint="precision is 1 to 38 digits, scale 0 to precision: Decimal(18, 2), say.",
            )
        object.__setattr__(self, "name", f"Decimal({precision}, {scale})")
        object.__setattr__(self, "precision", precision)
        object.__setattr__(self, "scale", scale)


@dataclass(frozen=True, slots=True, repr=False, init=False)
class Array(FeatureType):
    """A list of values of one scalar or decimal type, of any length; single values in it may be null.

    Args:
        element: the type of each value; not itself an array.

    Raises:
        DefinitionError: the element is no scalar type.
    """

    element: FeatureType

    def __init__(self, element: FeatureType) -> None:
        if not isinstance(element, FeatureType) or isinstance(element, Array):
            raise DefinitionError(
                f"Array({element!r}) cannot be.",
                hint="an array holds one scalar type: Array(Float32), Array(String), Array(Decimal(18, 2)).",
            )
        object.__setattr__(self, "name", f"Array({element.name})")
        object.__setattr__(self, "element", element)


class ValueType(Enum):
    """Feast's older names for types, accepted wherever a type is."""

    BOOL = Bool
    BYTES = Bytes
    DOUBLE = Float64
    FLOAT = Float32
    INT32 = Int32
    INT64 = Int64
    STRING = String
    UNIX_TIMESTAMP = UnixTimestamp
    BOOL_LIST = Array(Bool)
    BYTES_LIST = Array(Bytes)
    DOUBLE_LIST = Array(Float64)
    FLOAT_LIST = Array(Float32)
    INT32_LIST = Array(Int32)
    INT64_LIST = Array(Int64)
    STRING_LIST = Array(String)
    UNIX_TIMESTAMP_LIST = Array(UnixTimestamp)


def coerce(value: Any, owner: str) -> FeatureType:
    """The type a user wrote: a FeatureType, a ValueType, or a type's name.

    Args:
        value: what was written.
        owner: what it was written on, for the error.

    Raises:
        DefinitionError: it names no type.
    """
    if isinstance(value, ValueType):
        value = value.value
    if isinstance(value, (FeatureType, str)):
        try:
            found = _read(str(value))
        except DefinitionError as wrong:
            raise DefinitionError(f"{owner}: {wrong.what}", hint=wrong.hint) from None
        if found is not None:
            return found
    if value is Decimal or value is Array:
        hint = "say which: Decimal(18, 2)." if value is Decimal else "say of what: Array(Float32)."
        raise DefinitionError(f"{owner}: the type {value.__name__} is incomplete.", hint=hint)
    meant = nearest(str(value), SCALARS)
    raise DefinitionError(
        f"{owner}: {value!r} is no type.",
        hint=(f"did you mean {meant}? " if meant else "")
        + f"use one from gnomon.types: {', '.join(SCALARS)}, Decimal(18, 2), Array(Float32).",
    )


def parse(text: str) -> FeatureType:
    """Read back what `str` of a type wrote.

    Raises:
        ValueError: the text names no type.
    """
    try:
        found = _read(text)
    except DefinitionError:
        found = None
    if found is None:
        raise ValueError(f"{text!r} names no type")
    return found


def to_arrow(dtype: FeatureType) -> pa.DataType:
    """The one Arrow type that holds values of `dtype`."""
    import pyarrow as pa

    if isinstance(dtype, Decimal):
        return pa.decimal128(dtype.precision, dtype.scale)
    if isinstance(dtype, Array):
        return pa.list_(to_arrow(dtype.element))
    return {
        "Bool": pa.bool_(),
        "Int32": pa.int32(),
        "Int64": pa.int64(),
        "Float32": pa.float32(),
        "Float64": pa.float64(),
        "String": pa.string(),
        "Bytes": pa.binary(),
        "UnixTimestamp": pa.timestamp("us", tz="UTC"),
    }[dtype.name]


def arrow_schema(columns: Iterable[tuple[str, FeatureType]]) -> pa.Schema:
    """The Arrow schema of columns of these names and types."""
    import pyarrow as pa

    return pa.schema([(name, to_arrow(dtype)) for name, dtype in columns])


def from_arrow(arrow: pa.DataType) -> FeatureType | None:
    """The narrowest type that holds every value of an Arrow type without loss, or None where none does.

    >>> import pyarrow as pa
    >>> from_arrow(pa.uint32()), from_arrow(pa.list_(pa.float64())), from_arrow(pa.struct([]))
    (Int64, Array(Float64), None)
    """
    import pyarrow.types as t

    if t.is_dictionary(arrow):
        return from_arrow(arrow.value_type)
    if t.is_list(arrow) or t.is_large_list(arrow) or t.is_fixed_size_list(arrow):
        element = from_arrow(arrow.value_type)
        return None if element is None or isinstance(element, Array) else Array(element)
    if t.is_decimal(arrow):
        fits = arrow.precision <= 38 and 0 <= arrow.scale <= arrow.precision
        return Decimal(arrow.precision, arrow.scale) if fits else None
    if t.is_uint64(arrow):
        return Decimal(20, 0)
    if t.is_integer(arrow):
        return Int64 if arrow.bit_width == 64 or t.is_uint32(arrow) else Int32
    if t.is_floating(arrow):
        return Float64 if arrow.bit_width == 64 else Float32
    if t.is_string(arrow) or t.is_large_string(arrow) or t.is_string_view(arrow):
        return String
    if t.is_binary(arrow) or t.is_large_binary(arrow) or t.is_fixed_size_binary(arrow) or t.is_binary_view(arrow):
        return Bytes
    if t.is_boolean(arrow):
        return Bool
    return UnixTimestamp if t.is_timestamp(arrow) or t.is_date(arrow) else None


def _read(text: str) -> FeatureType | None:
    if text in SCALARS:
        return SCALARS[text]
    if match := re.fullmatch(r"Decimal\((\d+), ?(\d+)\)", text):
        return Decimal(int(match[1]), int(match[2]))
    if match := re.fullmatch(r"Array\((.+)\)", text):
        element = _read(match[1])
        return None if element is None else Array(element)
    return None


def fits(found: FeatureType, declared: FeatureType) -> bool:
    """Whether a column of one type may be declared as another: where the cast keeps values, fails, or says float.

    >>> fits(Int32, Int64), fits(Float64, Int64), fits(Int64, Decimal(18, 2)), fits(Decimal(20, 0), Int64)
    (True, False, True, True)
    """
    whole = (Int32, Int64)
    if found == declared:
        return True
    if isinstance(found, Array) and isinstance(declared, Array):
        return fits(found.element, declared.element)
    if declared in (Float32, Float64):
        return found in (*whole, Float32, Float64) or isinstance(found, Decimal)
    if isinstance(found, Decimal):
        if isinstance(declared, Decimal):
            return declared.scale >= found.scale
        return declared in whole and found.scale == 0
    return found in whole and (declared in whole or isinstance(declared, Decimal))


def fits_key(found: FeatureType, declared: FeatureType) -> bool:
    """Whether a column of one type may be declared a join key of another.

    Keys are cast without loss or fail, so more is allowed than for features: 7.0 and "7" are the key 7.

    >>> fits_key(Float64, Int64), fits(Float64, Int64), fits_key(Int64, String)
    (True, False, False)
    """
    return fits(found, declared) or (declared in (Int32, Int64) and found in (Float32, Float64, String))
