"""Hypothesis strategies for everything the time contract speaks of, aimed at where engines go wrong.

Ties, nulls, late rows, edges of a ttl, a microsecond before and after, zones that jump: what is rare in real data
is common here. All of it shrinks, and nothing needs a store.

| strategy | gives |
|---|---|
| `feature_types`, `key_types`, `values` | types, and values of one |
| `row_views` | a view as a registry would resolve it |
| `histories` | its rows, as a source has them; `rows_of` turns them into the oracle's |
| `questions` | keys and instants at which the answers change |
| `windows`, `functions`, `aggregations` | windows, functions with arguments, and aggregations of columns over windows |
| `event_tables`, `event_histories` | a source of events, and its rows; `events_of` turns them into the oracle's |
| `window_questions` | keys and instants at which windows over them change |
| `files`, `to_table`, `to_event_table` | how a source file writes times, and the table it holds |
| `spine_forms`, `to_spine` | the question as a user hands it in |
| `definitions` | catalogs |
| `event_columns`, `event_rows`, `conditions`, `expressions` | an event's columns, rows of them, and SQL on them |
"""

from gnomon.testing.strategies.aggregations import aggregations, column_values, fitting_types, functions
from gnomon.testing.strategies.catalogs import definitions
from gnomon.testing.strategies.conditions import conditions, event_columns, event_rows, expressions
from gnomon.testing.strategies.events import (
    EventTable,
    SourceEvent,
    event_histories,
    event_tables,
    events_of,
    window_questions,
)
from gnomon.testing.strategies.histories import SourceRow, histories, in_unit, questions, row_views, rows_of
from gnomon.testing.strategies.tables import (
    FileForm,
    SpineForm,
    files,
    spine_forms,
    to_event_table,
    to_spine,
    to_table,
)
from gnomon.testing.strategies.values import feature_types, instants, key_types, values
from gnomon.testing.strategies.windows import windows

__all__ = [
    "EventTable",
    "FileForm",
    "SourceEvent",
    "SourceRow",
    "SpineForm",
    "aggregations",
    "column_values",
    "conditions",
    "definitions",
    "event_columns",
    "event_histories",
    "event_rows",
    "event_tables",
    "events_of",
    "expressions",
    "feature_types",
    "files",
    "fitting_types",
    "functions",
    "histories",
    "in_unit",
    "instants",
    "key_types",
    "questions",
    "row_views",
    "rows_of",
    "spine_forms",
    "to_event_table",
    "to_spine",
    "to_table",
    "values",
    "window_questions",
    "windows",
]
