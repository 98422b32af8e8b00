"""Training sets much larger than the memory they may take: 5M rows asked of 50M, with a `memory_limit` of 1 GB.

Once with a million keys alike, once of five such views at once, and once with a key that has half of all rows and is
asked for in half of all questions. The answer is written to a Parquet file as it comes; then some of its rows are held
against what numpy finds in the same history by a sort and a search. It takes long, and 15 GB of disk at most, so it
runs only when it is named; its data is deleted afterwards.

    python -m bench any_size
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.data import FEATURES, START, large_history, large_spine
from bench.measure import Figure, UnfinishedError, in_its_own_process, measuring
from bench.table import Row

LIMIT = "1GB"
BUDGET = "< 2,048 MiB"
CHECKED = 2_000
QUESTIONS = (
    ("50M rows × 5M asked, a million keys alike", "user_id", 1, "now"),
    ("50M × 5M, a million keys alike, no hindsight", "user_id", 1, "then"),
    ("50M × 5M, five views at once", "user_id", 5, "now"),
    ("50M × 5M, one key has half of all rows", "skewed_id", 1, "now"),
    ("50M × 5M, one key has half, no hindsight", "skewed_id", 1, "then"),
)


def rows() -> Iterator[Row]:
    """What each question took, and whether the rows looked at are right; or that it died."""
    made = [large_history(), large_spine()]
    try:
        for figure, key, views, as_known in QUESTIONS:
            yield row(figure, key, str(views), as_known)
    finally:
        for path in made:
            path.unlink()


def row(figure: str, key: str, views: str, as_known: str) -> Row:
    with TemporaryDirectory(prefix="gnomon-bench-") as folder:
        try:
            taken = in_its_own_process("bench.any_size:ours", folder, key, views, as_known)
        except UnfinishedError as died:
            return Row(figure=figure, gnomon=str(died), budget=BUDGET)
        wrong = in_its_own_process("bench.any_size:wrong", folder, key, views, as_known).more["wrong"]
    return Row(
        figure=figure,
        gnomon=f"{taken.wall:.0f} s, {taken.more['rows']:,} rows",
        other=f"{wrong} wrong of {CHECKED:,} looked at",
        cpu=f"{taken.cpu:.0f}",
        peak=f"{taken.peak:,.0f}",
        budget=BUDGET,
    )


def ours(folder: str, key: str, views: str, as_known: str) -> Figure:
    """The answer of so many views, written to a file."""
    from gnomon import FeatureStore

    (Path(folder) / "feature_store.yaml").write_text(
        f"project: bench\noffline_store: {{type: duckdb, memory_limit: {LIMIT}, temp_directory: {folder}}}\n"
    )
    several = [view(f"v{place}", key) for place in range(int(views))]
    references = [f"{one.name}:{name}" for one in several for name in FEATURES]
    asked = f"select {key}, event_timestamp from '{large_spine()}'"
    with FeatureStore(folder) as store:
        store.apply(several)
        with measuring() as figure:
            made = store.get_historical_features(asked, references, as_known=as_known, full_feature_names=True)
            made.persist(answer_in(folder))
    figure.more["rows"] = pq.read_metadata(answer_in(folder)).num_rows
    return figure


def view(name: str, key: str) -> Any:
    from gnomon import Entity, FeatureView, Field, FileSource
    from gnomon.types import Float64, Int64

    return FeatureView(
        name=name,
        entities=[Entity(name=key, value_type=Int64)],
        source=FileSource(
            path=str(large_history()), timestamp_field="event_timestamp", created_timestamp_column="created"
        ),
        schema=[Field(name=name, dtype=Int64 if place % 2 else Float64) for place, name in enumerate(FEATURES)],
    )


def answer_in(folder: str) -> Path:
    return Path(folder) / "answer.parquet"


def wrong(folder: str, key: str, views: str, as_known: str) -> Figure:
    """How many of the rows looked at, of all views, are not what the history says; or are not there."""
    import duckdb

    with duckdb.connect() as con, measuring() as figure:
        con.execute("set TimeZone = 'UTC'")
        con.execute(
            f"create table asked as select row_number() over () - 1 as r, {key} as k, epoch_us(event_timestamp) as t "
            f"from (select * from '{large_spine()}' order by hash({key}, event_timestamp), user_id limit {CHECKED})"
        )
        right = {r: values for r, *values in looked_up(con, key, as_known)}
        given = con.sql(
            f"select r, a.* exclude ({key}, event_timestamp) from asked left join '{answer_in(folder)}' a "
            f"on a.{key} = k and epoch_us(a.event_timestamp) = t"
        ).fetchall()
        nothing = [None] * len(FEATURES)
        figure.more["wrong"] = sum(list(values) != right.get(r, nothing) * int(views) for r, *values in given)
    return figure


def looked_up(con: Any, key: str, as_known: str) -> list[tuple[Any, ...]]:
    """(r, f0 …): what the history says of the rows `asked(r, k, t)`.

    The instants from which rows are usable are sorted, beside them runs the greatest event time so far of each key; an
    instant asked is searched among them. Of rows that tie, the last known counts, then the one greatest in its columns.
    """
    then = as_known == "then"
    usable = "greatest(event_timestamp, created)" if then else "event_timestamp"
    con.execute("create table codes as select k, row_number() over () as c from (select distinct k from asked)")
    history = con.sql(
        f"select {_packed(f'epoch_us({usable})')} as usable, {_packed('epoch_us(event_timestamp)')} as happened "
        f"from '{large_history()}' join codes on {key} = k order by all"
    ).fetchnumpy()
    asked = con.sql(
        f"select r, k, c, t, {_packed('t')} as at from asked join codes using (k) order by r"
    ).to_arrow_table()
    place = np.searchsorted(history["usable"], asked["at"].to_numpy(), side="right") - 1
    happened = np.maximum.accumulate(history["happened"])[place]
    there = (place >= 0) & (happened >> 42 == asked["c"].to_numpy())
    found = asked.append_column("e", pa.array((happened & ((1 << 42) - 1)) + START)).filter(pa.array(there))
    con.register("found", found)
    best = ", ".join(f"{name} desc" for name in ("created", *FEATURES))
    return con.sql(
        f"select r, {', '.join(FEATURES)} from found join '{large_history()}' on {key} = k "
        f"and epoch_us(event_timestamp) = e and (epoch_us(created) <= t or not {then}) "
        f"qualify row_number() over (partition by r order by {best}) = 1"
    ).fetchall()


def _packed(instant: str) -> str:
    """A key's number and an instant (µs) in one integer, ordered by both."""
    return f"(c << 42 | ({instant} - {START}))"
