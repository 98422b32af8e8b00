"""Hypothesis strategies for everything the time contract speaks of, aimed at where engines go wrong.

Ties, nulls, late rows, edges of a ttl, a microsecond before and after, zones that jump: what is rare in real data
is common here. All of it shrinks, and nothing needs a store.

| strategy | gives |
|---|---|
| `feature_types`, `key_types`, `values` | types, and values of one |
| `row_views` | a view as a registry would resolve it |
| `histories` | its rows, as a source has them; `rows_of` turns them into the oracle's |
| `questions` | keys and instants at which the answers change |
| `files`, `to_table` | how a source file writes times, and the table it holds |
| `spine_forms`, `to_spine` | the question as a user hands it in |
| `definitions` | catalogs |
| `event_columns`, `event_rows`, `conditions` | an event's columns, rows of them, and conditions on them |
"""

from gnomon.testing.strategies.catalogs import definitions
from gnomon.testing.strategies.conditions import conditions, event_columns, event_rows
from gnomon.testing.strategies.histories import SourceRow, histories, in_unit, questions, row_views, rows_of
from gnomon.testing.strategies.tables import FileForm, SpineForm, files, spine_forms, to_spine, to_table
from gnomon.testing.strategies.values import feature_types, instants, key_types, values

__all__ = [
    "FileForm",
    "SourceRow",
    "SpineForm",
    "conditions",
    "definitions",
    "event_columns",
    "event_rows",
    "feature_types",
    "files",
    "histories",
    "in_unit",
    "instants",
    "key_types",
    "questions",
    "row_views",
    "rows_of",
    "spine_forms",
    "to_spine",
    "to_table",
    "values",
]
