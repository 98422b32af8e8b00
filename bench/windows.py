"""Windowed features: 10M events of 100k keys, zipf, and 1M rows that ask for windows of 1h, 24h, 7d and 30d.

Beside gnomon: DuckDB's RANGE frames, and Polars' rolling. Both are asked the same question: the rows are put among the
events with empty values, and what was computed for events is thrown away. Their sums are those of plain floats.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bench.data import events, spine
from bench.measure import Figure, Median, UnfinishedError, compare, in_its_own_process, measuring
from bench.table import Row
from bench.windows_asked import OVER

RUNS = 3
SECONDS = 1_200
HOURS = {"1h": 1, "24h": 24, "7d": 168, "30d": 720}
BUDGET = "≤ 5.3 CPU s"


def rows() -> Iterator[Row]:
    """Six aggregations, distinct values, late events; the others' ways; the price of exact sums."""
    for made in (events(), spine("zipf")):
        assert made.exists()
    plain = compare({"gnomon": "bench.windows_asked:now"}, ["plain"], runs=RUNS)["gnomon"]
    yield beside("count, sum, mean, stddev, min, max", plain, budget=BUDGET)
    for name, target in (("DuckDB RANGE frames", "by_duckdb"), ("Polars rolling", "by_polars")):
        yield other("count, sum, mean, stddev, min, max", plain, name, target)
    yield beside("count_distinct", compare({"gnomon": "bench.windows_asked:now"}, ["distinct"], runs=RUNS)["gnomon"])
    more = ("last_5", "top_3", "approx_p99", "approx_count_distinct")
    for what in more:
        yield beside(what, in_its_own_process("bench.windows_asked:now", what))
    for share in ("0", "1", "20"):
        both = {"then": "bench.windows_asked:then", '"now"': "bench.windows_asked:now"}
        taken = compare(both, ["plain", share], runs=RUNS)
        yield beside(f'the six, "then", {share} % late', taken["then"], ('"now"', taken['"now"']), budget="≤ 2 ×")
    yield price()


def beside(figure: str, ours: Any, against: tuple[str, Any] | None = None, *, budget: str = "") -> Row:
    name, other = against or ("", None)
    return Row(
        figure=figure,
        gnomon=f"{ours.wall:.2f} s",
        other=f"{name} {other.wall:.2f} s" if other else "",
        ratio=f"{ours.wall / other.wall:.2f}" if other else "",
        cpu=f"{ours.cpu:.2f}" + (f" / {other.cpu:.2f}" if other else ""),
        cpu_ratio=f"{ours.cpu / other.cpu:.2f}" if other else "",
        peak=f"{ours.peak:,.0f}" + (f" / {other.peak:,.0f}" if other else ""),
        budget=budget,
    )


def other(figure: str, ours: Median, name: str, target: str) -> Row:
    """gnomon beside one run of another way, as far as that comes to an end."""
    try:
        return beside(figure, ours, (name, in_its_own_process(f"bench.windows:{target}", seconds=SECONDS)))
    except UnfinishedError as died:
        return Row(figure=figure, gnomon=f"{ours.wall:.2f} s", other=f"{name}: {died}", cpu=f"{ours.cpu:.2f}")


def price() -> Row:
    """Sums over the four windows of 1M rows, once the kernel has sorted: exact ones, and those of plain floats."""
    exact, plain = (in_its_own_process(f"bench.windows:{name}") for name in ("exact_sums", "plain_sums"))
    return beside("sums alone, exact", exact, ("plain floats", plain))


def exact_sums() -> Figure:
    from gnomon.core.kernel import limbs

    def sums(lane: Any) -> None:
        for window in limbs.over_windows(lane, limbs.of_floats([lane.values.numbers], len(lane.main))):
            limbs.nearest(window)

    return summed(sums)


def plain_sums() -> Figure:
    import numpy as np

    def sums(lane: Any) -> None:
        prefix = np.concatenate([[0.0], np.cumsum(lane.values.numbers)])
        for span in lane.spans:
            assert len(prefix[span.right] - prefix[span.left]) == len(lane.rows)

    return summed(sums)


def summed(sums: Any) -> Figure:
    """10M values in 25 parts, each asked about by 40,000 rows."""
    import numpy as np
    import pyarrow as pa

    from gnomon.core.kernel.columns import Column
    from gnomon.core.kernel.entries import Events, Rows, entered
    from gnomon.core.kernel.lanes import Lane
    from gnomon.core.windows import Window
    from gnomon.types import Float64

    rng, total = np.random.default_rng(1), Figure()
    for _ in range(25):
        count, asked = 400_000, 40_000
        at = np.sort(rng.integers(0, 90 * 86_400_000_000, count))
        spine = np.sort(rng.integers(0, 90 * 86_400_000_000, asked))
        key = np.zeros(count, np.int64)
        rows = Rows.of(np.zeros(asked, np.int64), spine, 1)
        entry = entered(Events(key, at, at, None, 1), rows, [Window(size) for size in OVER], hindsight=True)
        column = Column(pa.array(rng.integers(0, 100_000, count) / 100), Float64)
        lane = Lane.of(entry).only(None, column)
        assert len(lane.values.numbers) == count
        with measuring() as figure:
            sums(lane)
        total.wall, total.cpu, total.peak = total.wall + figure.wall, total.cpu + figure.cpu, figure.peak
    return total


def by_duckdb() -> Figure:
    import duckdb

    frames = ", ".join(
        f"w{hours} as (partition by user_id order by ts "
        f"range between interval {hours} hours preceding and interval 1 microsecond preceding)"
        for hours in HOURS.values()
    )
    terms = ", ".join(
        f"count(amount) over w{h} as c{h}, sum(amount) over w{h} as s{h}, avg(amount) over w{h} as a{h}, "
        f"stddev_samp(amount) over w{h} as d{h}, min(amount) over w{h} as l{h}, max(amount) over w{h} as g{h}"
        for h in HOURS.values()
    )
    with duckdb.connect() as con, measuring() as figure:
        con.execute("set TimeZone = 'UTC'; set memory_limit = '14GB'")
        answer = con.sql(
            f"select * from (select row, {terms} from (select user_id, ts, amount, null as row from '{events()}' "
            f"union all select user_id, event_timestamp, null, row_number() over () from '{spine('zipf')}') "
            f"window {frames}) where row is not null order by row"
        ).to_arrow_table()
    figure.more["rows"] = len(answer)
    return figure


def by_polars() -> Figure:
    import polars as pl

    with measuring() as figure:
        happened = pl.read_parquet(events(), columns=["user_id", "ts", "amount"])
        rows = pl.read_parquet(spine("zipf"), columns=["user_id", "event_timestamp"]).with_row_index("row")
        empty = pl.lit(None, pl.Float64).alias("amount")
        rows = rows.select("user_id", pl.col("event_timestamp").alias("ts"), empty, "row")
        both = pl.concat([happened.with_columns(pl.lit(None, pl.UInt32).alias("row")), rows]).sort("user_id", "ts")
        amount = pl.col("amount")
        made = [
            both.rolling("ts", period=size, closed="left", group_by="user_id")
            .agg(
                amount.count().alias("c"),
                amount.sum().alias("s"),
                amount.mean().alias("a"),
                amount.std().alias("d"),
                amount.min().alias("l"),
                amount.max().alias("g"),
            )
            .filter(both["row"].is_not_null())
            for size in OVER
        ]
    figure.more["rows"] = len(made[0])
    return figure
