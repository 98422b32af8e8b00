"""What goes out: rows, tables and values as JSON has them."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from gnomon.clock import instant_text, to_micros
from gnomon.errors import RequestError, listing

__all__ = ["as_text", "columns_of", "instant_of", "is_table", "written"]

Rows = Sequence[Mapping[str, Any]] | Mapping[str, Sequence[Any]]


def written(document: Any) -> bytes:
    """A document as JSON; what JSON lacks is text: instants ISO-8601, bytes base64, decimals, NaN.

    >>> written({"at": datetime(2024, 1, 1), "x": float("nan")})
    b'{"at":"2024-01-01T00:00:00Z","x":"NaN"}'
    """
    try:
        return _json(document)
    except ValueError:  # floats that JSON lacks are rare: they are looked for where there is one
        return _json(_plain(document))


def as_text(value: Any) -> str:
    """One value as it stands in an address: as a document has it, without quotes.

    >>> as_text(7), as_text(b"abc"), as_text(datetime(2024, 1, 1))
    ('7', 'YWJj', '2024-01-01T00:00:00Z')
    """
    return str(_text(value) if isinstance(value, (date, bytes, bytearray, memoryview)) else value)


def columns_of(rows: Any) -> dict[str, list[Any]]:
    """Rows as a list per column: from a list of dicts, a dict of lists, an Arrow or Polars table, a pandas frame.

    Raises:
        RequestError: it is nothing of that kind, or rows have different columns.

    >>> columns_of([{"user_id": 7}, {"user_id": 8}])
    {'user_id': [7, 8]}
    """
    if isinstance(rows, Mapping):
        return {str(name): _listed(str(name), column) for name, column in rows.items()}
    if hasattr(rows, "to_pydict"):
        return dict(rows.to_pydict())
    if hasattr(rows, "iloc"):
        # A frame has no null of its own: NaN is what stands where nothing is.
        return dict(rows.astype(object).where(rows.notna(), None).to_dict(orient="list"))
    if hasattr(rows, "to_dict"):
        return dict(rows.to_dict(as_series=False))
    if (
        isinstance(rows, Sequence)
        and not isinstance(rows, (str, bytes))
        and all(isinstance(one, Mapping) for one in rows)
    ):
        return _turned(rows)
    raise RequestError(
        f"{rows!r:.80} is no rows.", hint="pass a list of dicts, a dict of lists, or a pandas, Polars or Arrow table."
    )


def is_table(rows: Any) -> bool:
    """Whether rows have types of their own: whether they are an Arrow or Polars table, or a pandas frame."""
    return any(hasattr(rows, name) for name in ("to_pydict", "iloc", "to_arrow"))


def instant_of(given: Any) -> str | None:
    """An instant as text; None stays None.

    Raises:
        RequestError: it is none.
    """
    return None if given is None else instant_text(to_micros(given))


def _turned(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    names = list(rows[0]) if rows else []
    for number, row in enumerate(rows):
        if row.keys() != rows[0].keys():
            raise RequestError(
                f"row {number} has other columns than the first.",
                instead=f"It has {listing(row)}; the first has {listing(names)}.",
                hint="give every row the same columns, None where there is nothing.",
            )
    return {name: [row[name] for row in rows] for name in names}


def _listed(name: str, column: Any) -> list[Any]:
    if hasattr(column, "tolist"):
        column = column.tolist()
    if isinstance(column, (str, bytes, Mapping)) or not hasattr(column, "__iter__"):
        raise RequestError(f"column {name!r} is {column!r:.80}.", hint="pass a list of values, one for each row.")
    return list(column)


def _json(document: Any) -> bytes:
    return json.dumps(document, default=_text, allow_nan=False, separators=(",", ":")).encode("ascii")


def _text(value: Any) -> Any:
    """What `json` has no word for."""
    if isinstance(value, datetime):
        return None if value != value else instant_text(to_micros(value))  # pandas' NaT equals nothing
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, (bytes, bytearray, memoryview)):
        return base64.b64encode(value).decode()
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, (set, frozenset, tuple)):
        return list(value)
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "tolist"):  # numpy's scalars and arrays
        return value.tolist()
    raise RequestError(
        f"{value!r:.80} cannot be sent.", instead=f"It is a {type(value).__name__}.", hint="make it plain."
    )


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if value != value else f"{'-' if value < 0 else ''}Infinity"
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    return value
