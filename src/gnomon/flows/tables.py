"""Which table of the online store holds a view, and how the view's rows become its entries.

Whoever writes remembers the layout of the rows beside the table, so that they can be read when the view has changed:

    layout = layout_of(view)
    remember_layout(store, table_of(project, view), layout)
    store.write(table_of(project, view), entries_of(view, layout, batch), merging(layout, now))
"""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from gnomon.contracts.online import OnlineStore, Table
from gnomon.core.casting import cast_keys
from gnomon.core.keys import encode_keys
from gnomon.core.packing import pack
from gnomon.core.rows import Layout
from gnomon.definitions.views import FeatureView

__all__ = ["entries_of", "known_layouts", "layout_of", "remember_layout", "table_of"]

NOTE = "layout/"


def table_of(project: str, view: FeatureView) -> Table:
    """The table of a view's version in a project."""
    return Table(project, view.id)


def layout_of(view: FeatureView) -> Layout:
    """The layout of a view's rows: its features in schema order."""
    return Layout((one.name, one.dtype) for one in view.schema)


def remember_layout(store: OnlineStore, table: Table, layout: Layout) -> None:
    """Keep a layout beside a table, before the first row of it is written; nothing happens if it is there."""
    name = f"{NOTE}{layout.id:08x}"
    if name not in store.notes(table):
        store.note(table, name, layout.to_json().encode())


def known_layouts(store: OnlineStore, table: Table) -> Mapping[int, Layout]:
    """All layouts that rows of a table were written under, by id."""
    notes = store.notes(table)
    return {
        int(name.removeprefix(NOTE), 16): Layout.from_json(text)
        for name, text in notes.items()
        if name.startswith(NOTE)
    }


def entries_of(view: FeatureView, layout: Layout, batch: pa.RecordBatch) -> list[tuple[bytes, bytes]]:
    """The (key, row) entries of a batch; rows whose key has a null part are left out, for nobody can ask for them.

    Args:
        view: the view, with schema and key types resolved.
        layout: its layout.
        batch: join keys, `__event`, `__known` (int64 µs) and the view's columns.

    Raises:
        RequestError: a key cannot be cast to its join key's type without loss.
    """
    keys = [
        cast_keys(pa.chunked_array([batch.column(one.name)]), one.dtype, one.name).combine_chunks()
        for one in view.entity_columns
    ]
    if any(column.null_count for column in keys):
        batch, keys = _without_nulls(batch, keys)
    rows = pack(layout, batch)
    if not keys:
        return [(b"", row) for row in rows]
    return list(zip(encode_keys(keys, [one.dtype for one in view.entity_columns]), rows, strict=True))


def _without_nulls(batch: pa.RecordBatch, keys: list[pa.Array]) -> tuple[pa.RecordBatch, list[pa.Array]]:
    whole = keys[0].is_valid()
    for column in keys[1:]:
        whole = pc.and_(whole, column.is_valid())
    return batch.filter(whole), [column.filter(whole) for column in keys]
