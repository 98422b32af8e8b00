"""The questions about windowed features, each asked in a process of its own."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.data import EVENTS, events, spine
from bench.measure import Figure, measuring

__all__ = ["OVER", "asked", "now", "then", "view"]

OVER = ("1h", "24h", "7d", "30d")


def now(what: str, share: str = "0", count: str = str(EVENTS)) -> Figure:
    return asked(what, share, int(count), "now")


def then(what: str, share: str = "0", count: str = str(EVENTS)) -> Figure:
    return asked(what, share, int(count), "then")


def asked(what: str, share: str, count: int, as_known: str, *, limit: str = "", keep: bool = True) -> Figure:
    """One training set over some of the events.

    Args:
        what: which aggregations.
        share: how many events of a hundred are known late.
        count: how many events there are.
        as_known: how much hindsight is allowed.
        limit: the engine's memory limit.
        keep: whether the answer is kept in memory; else it is written to a file as it comes.
    """
    from gnomon import FeatureStore

    with TemporaryDirectory(prefix="gnomon-bench-") as folder:
        if limit:
            settings = f"{{type: duckdb, memory_limit: {limit}, temp_directory: {folder}}}"
            (Path(folder) / "feature_store.yaml").write_text(f"project: bench\noffline_store: {settings}\n")
        with FeatureStore(folder) as store:
            one = view(what, share, count)
            store.apply([one])
            references = [f"v:{name}" for name in one.feature_names]
            rows = f"select user_id, event_timestamp from '{spine('zipf')}'"
            with measuring() as figure:
                made = store.get_historical_features(rows, references, as_known=as_known)
                answer = made.to_arrow() if keep else made.persist(f"{folder}/answer.parquet")
        figure.more["rows"] = len(answer) if keep else 1_000_000
    return figure


def view(what: str, share: str, count: int) -> Any:
    from gnomon import Entity, FeatureView, FileSource, agg
    from gnomon.types import Int64

    plain = (agg.sum, agg.mean, agg.stddev, agg.min, agg.max)
    aggregations = {
        "plain": lambda: [agg.count(over=OVER), *(function("amount", over=OVER) for function in plain)],
        "distinct": lambda: [agg.count_distinct("merchant", over=OVER)],
        "last_5": lambda: [agg.last_n("merchant", 5, over=OVER)],
        "top_3": lambda: [agg.top_k("merchant", 3, over=OVER)],
        "approx_p99": lambda: [agg.approx_percentile("amount", 0.99, over=OVER)],
        "approx_count_distinct": lambda: [agg.approx_count_distinct("merchant", over=OVER)],
    }[what]()
    known = f"known_{share}" if share else ""
    return FeatureView(
        name="v",
        entities=[Entity(name="user_id", value_type=Int64)],
        source=FileSource(path=str(events(count)), timestamp_field="ts", created_timestamp_column=known),
        aggregations=aggregations,
    )
