"""Training sets beside a bare DuckDB ASOF join over the same files: what the plan's rules cost, or save."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.data import FEATURES, deep, history, spine
from bench.measure import Figure, compare, measuring
from bench.table import Row, beside

COLUMNS = ", ".join(f"v.{name}" for name in FEATURES)


def rows() -> Iterator[Row]:
    """1M rows × 10M, 100k × 200 a key, text keys, and no hindsight beside all of it."""
    both = {"gnomon": "bench.training:ours", "DuckDB ASOF": "bench.training:bare"}
    prepare()
    yield beside("1M rows × 10M-row view", compare(both, ["wide", "user_id"]), budget="≤ 1.3 ×")
    yield beside("100k rows × 200 rows a key", compare(both, ["deep", "user_id"]), budget="≤ 1.5 ×")
    yield beside("1M × 10M, keys are text", compare(both, ["wide", "user_name"]))
    clocks = {'as_known="then"': "bench.training:then", '"now"': "bench.training:now"}
    yield beside("1M × 10M, a fifth of the rows known late", compare(clocks, ["wide", "user_id"]))


def prepare() -> None:
    for made in (history, deep, lambda: spine("wide"), lambda: spine("deep")):
        made()


def ours(kind: str, key: str, *, created: bool = False, as_known: str = "now") -> Figure:
    from gnomon import Entity, FeatureStore, FeatureView, Field, FileSource
    from gnomon.types import Float64, Int64, String

    source = FileSource(
        path=str(_view(kind)),
        timestamp_field="event_timestamp",
        created_timestamp_column="created" if created else None,
    )
    view = FeatureView(
        name="v",
        entities=[Entity(name="user", join_keys=[key], value_type=Int64 if key == "user_id" else String)],
        source=source,
        schema=[Field(name=name, dtype=Int64 if place % 2 else Float64) for place, name in enumerate(FEATURES)],
    )
    with TemporaryDirectory() as folder, FeatureStore(folder) as store:
        store.apply([view])
        references = [f"v:{name}" for name in FEATURES]
        asked = f"select {key}, event_timestamp from '{spine(kind)}'"
        with measuring() as figure:
            answer = store.get_historical_features(asked, references, as_known=as_known).to_arrow()
        figure.more["rows"] = len(answer)
    return figure


def now(kind: str, key: str) -> Figure:
    return ours(kind, key, created=True)


def then(kind: str, key: str) -> Figure:
    return ours(kind, key, created=True, as_known="then")


def bare(kind: str, key: str) -> Figure:
    import duckdb

    with duckdb.connect() as con, measuring() as figure:
        con.execute("set TimeZone = 'UTC'; set asof_loop_join_threshold = 0")
        answer = con.sql(
            f"select s.{key}, s.event_timestamp, {COLUMNS} from '{spine(kind)}' s "
            f"asof left join '{_view(kind)}' v on s.{key} = v.{key} and s.event_timestamp >= v.event_timestamp"
        ).to_arrow_table()
    figure.more["rows"] = len(answer)
    return figure


def _view(kind: str) -> Path:
    return history() if kind == "wide" else deep()
