"""Windowed features: 10M events of 100k keys, zipf, and 1M rows that ask for windows of 1h, 24h, 7d and 30d."""

from __future__ import annotations

from collections.abc import Iterator
from tempfile import TemporaryDirectory

from bench.data import events, spine
from bench.measure import Figure, Median, compare, measuring
from bench.table import Row

OVER = ("1h", "24h", "7d", "30d")
PLAIN = ("count", "sum", "mean", "stddev", "min", "max")
RUNS = 3


def rows() -> Iterator[Row]:
    """Six aggregations, then distinct, then late events, then the others' ways."""
    events()
    spine("zipf")
    yield beside("count … max, now", compare({"gnomon": "bench.windows:now"}, ["plain"], runs=RUNS))
    yield beside("count_distinct, now", compare({"gnomon": "bench.windows:now"}, ["distinct"], runs=RUNS))
    for share in (0, 1, 20):
        both = {f"then, {share} % late": "bench.windows:then", "now": "bench.windows:now"}
        yield beside(f"count … max, then, {share} % late", compare(both, ["plain", str(share)], runs=RUNS))


def beside(figure: str, taken: dict[str, Median]) -> Row:
    (_, ours), *others = taken.items()
    other = others[0] if others else None
    return Row(
        figure=figure,
        gnomon=f"{ours.wall:.2f} s",
        other=f"{other[0]} {other[1].wall:.2f} s" if other else "",
        ratio=f"{ours.wall / other[1].wall:.2f}" if other else "",
        cpu=f"{ours.cpu:.2f}" + (f" / {other[1].cpu:.2f}" if other else ""),
        cpu_ratio=f"{ours.cpu / other[1].cpu:.2f}" if other else "",
        peak=f"{ours.peak:,.0f}" + (f" / {other[1].peak:,.0f}" if other else ""),
    )


def now(what: str, share: str = "0") -> Figure:
    return ours(what, share, "now")


def then(what: str, share: str = "0") -> Figure:
    return ours(what, share, "then")


def ours(what: str, share: str, as_known: str) -> Figure:
    from gnomon import Entity, FeatureStore, FeatureView, FileSource, agg
    from gnomon.types import Int64

    aggregations = {
        "plain": [agg.count(over=OVER), *(getattr(agg, name)("amount", over=OVER) for name in PLAIN[1:])],
        "distinct": [agg.count_distinct("merchant", over=OVER)],
    }[what]
    view = FeatureView(
        name="v",
        entities=[Entity(name="user_id", value_type=Int64)],
        source=FileSource(path=str(events()), timestamp_field="ts", created_timestamp_column=f"known_{share}"),
        aggregations=aggregations,
    )
    with TemporaryDirectory() as folder, FeatureStore(folder) as store:
        store.apply([view])
        references = [f"v:{name}" for name in view.feature_names]
        asked = f"select user_id, event_timestamp from '{spine('zipf')}'"
        with measuring() as figure:
            answer = store.get_historical_features(asked, references, as_known=as_known).to_arrow()
        figure.more["rows"] = len(answer)
    return figure
