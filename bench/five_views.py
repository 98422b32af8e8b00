"""Five views of 10M rows each, with a ttl, asked about 1M rows; beside two ways to write the same by hand for DuckDB.

"Narrow" is the fast one: the spine in a table, per view an ASOF join of key, time and the row's number in its file,
then the columns by that number. "One query" joins all columns of all views as-of, one after the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from tempfile import TemporaryDirectory

from bench.data import FEATURES, history, spine
from bench.measure import Figure, compare, measuring
from bench.table import Row, beside

VIEWS = 5
SETTINGS = "set TimeZone = 'UTC'; set asof_loop_join_threshold = 0; set preserve_insertion_order = false"
COLUMNS = [(place, name) for place in range(VIEWS) for name in FEATURES]


def rows() -> Iterator[Row]:
    for made in (history, lambda: spine("wide")):
        made()
    taken = compare({name: f"bench.five_views:{name}" for name in ("ours", "narrow", "one_query")})
    title = "1M rows × 5 views of 10M rows, ttl a day"
    yield beside(title, {"gnomon": taken["ours"], "narrow": taken["narrow"]}, budget="≤ 1.3 × CPU")
    yield beside(title, {"gnomon": taken["ours"], "one query": taken["one_query"]})


def ours() -> Figure:
    """Five views of the same rows, each with a ttl."""
    from gnomon import Entity, FeatureStore, FeatureView, Field, FileSource
    from gnomon.types import Float64, Int64

    views = [
        FeatureView(
            name=f"v{place}",
            entities=[Entity(name="user_id", value_type=Int64)],
            ttl=timedelta(days=1),
            source=FileSource(path=str(history()), timestamp_field="event_timestamp"),
            schema=[Field(name=name, dtype=Int64 if at % 2 else Float64) for at, name in enumerate(FEATURES)],
        )
        for place in range(VIEWS)
    ]
    with TemporaryDirectory() as folder, FeatureStore(folder) as store:
        store.apply(views)
        references = [f"{view.name}:{name}" for view in views for name in FEATURES]
        asked = f"select user_id, event_timestamp from '{spine('wide')}'"
        with measuring() as figure:
            answer = store.get_historical_features(asked, references, full_feature_names=True).to_arrow()
        figure.more["rows"] = len(answer)
    return figure


def narrow() -> Figure:
    import duckdb

    rows = f"read_parquet('{history()}', file_row_number = true)"
    view = f"(select user_id, event_timestamp as e, file_row_number from {rows})"
    names = ", ".join(f"v{place}.{name} as v{place}_{name}" for place, name in COLUMNS)
    joins = " ".join(f"left join found{place} v{place} using (r)" for place in range(VIEWS))
    with duckdb.connect() as con, measuring() as figure:
        con.execute(SETTINGS)
        asked = "row_number() over () as r, user_id, event_timestamp as t"
        con.execute(f"create temp table s as select {asked} from '{spine('wide')}'")
        for place in range(VIEWS):
            con.execute(
                f"create temp table hit{place} as select r, file_row_number from s asof join {view} v "
                "on s.user_id = v.user_id and t >= e where t - e <= interval 1 day"
            )
            con.execute(
                f"create temp table found{place} as select r, {', '.join(FEATURES)} from {rows} "
                f"join hit{place} using (file_row_number)"
            )
        answer = con.sql(f"select user_id, t, {names} from s {joins}").to_arrow_table()
    figure.more["rows"] = len(answer)
    return figure


def one_query() -> Figure:
    import duckdb

    view = f"(select user_id, event_timestamp as e, {', '.join(FEATURES)} from '{history()}')"
    names = ", ".join(
        f"case when t - v{place}.e <= interval 1 day then v{place}.{name} end as v{place}_{name}"
        for place, name in COLUMNS
    )
    joins = " ".join(
        f"asof left join {view} v{place} on s.user_id = v{place}.user_id and t >= v{place}.e" for place in range(VIEWS)
    )
    spined = f"(select user_id, event_timestamp as t from '{spine('wide')}')"
    with duckdb.connect() as con, measuring() as figure:
        con.execute(SETTINGS)
        answer = con.sql(f"select s.user_id, t, {names} from {spined} s {joins}").to_arrow_table()
    figure.more["rows"] = len(answer)
    return figure
