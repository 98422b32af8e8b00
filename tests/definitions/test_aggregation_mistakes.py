"""Every mistake in an aggregation is reported as soon as it can be known, naming view, aggregation and what to do.

What an aggregation says of itself is known when it is made, before there is a view; what its columns are, when the
view is applied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from shop import day

from gnomon import Entity, FeatureStore, FeatureView, Field, FileSource, GnomonError, Window, agg
from gnomon.clock import ManualClock
from gnomon.config import Backend, RepoConfig
from gnomon.definitions.codec import decode, encode
from gnomon.errors import DefinitionError, UnknownFeature
from gnomon.types import Array, Float64, Int64, String

SOURCE = FileSource(name="orders", path="orders.parquet", timestamp_field="at", delay="0s")
USER = Entity(name="user_id")
SPEND = r"feature view 'spend': "
SUM = r"aggregation sum\('amount'\)"


class Unfinished(agg.Custom):
    takes_types = (Float64,)
    gives = Float64


class Silent(agg.Custom):
    pass


def view(*aggregations: Any, **changes: Any) -> FeatureView:
    given = {"name": "spend", "entities": [USER], "source": SOURCE, "aggregations": list(aggregations)}
    return FeatureView(**{**given, **changes})


def total(**changes: Any) -> agg.Aggregation:
    return agg.sum("amount", **{"over": "7d", **changes})


def document(**changes: Any) -> FeatureView:
    """A view read from a document in which its one aggregation says something else."""
    written = view(total())
    changed = encode(written)
    changed["aggregations"][0].update(changes)
    named = {"Entity": USER, "FileSource": SOURCE}
    found: FeatureView = decode(changed, lambda kind, name: named[kind])  # type: ignore[arg-type, return-value]
    return found


MADE: list[tuple[Callable[[], Any], str, str]] = [
    # Windows
    (lambda: total(over="0d"), f"{SUM}: window of size '0d' holds nothing", "longer than zero"),
    (lambda: total(over=timedelta(0)), f"{SUM}: window of size '0s' holds nothing", "longer than zero"),
    (lambda: total(over=timedelta(-1)), f"{SUM}: window of size -1 day.* ends before it begins", "longer than zero"),
    (lambda: total(over="-1d"), f"{SUM}: window: size: '-1d' is no duration", "numbers with units"),
    (lambda: total(over="1 month"), f"{SUM}: window: size: '1 month' is no duration", "us, ms, s, m, h, d, w"),
    (lambda: total(over=""), f"{SUM}: window: size: '' is no duration", "numbers with units"),
    (lambda: total(over="8000000d"), f"{SUM}: window: size is 8000000 days", "at most 7300000 days"),
    (lambda: total(over=None), f"{SUM}: None is no window", "a lifetime is Window"),
    (lambda: total(over=[None, "7d"]), f"{SUM}: None is no window", "a lifetime is Window"),
    (lambda: view(), "feature view 'spend': aggregations is an empty list", "leave it out for a row view"),
    (lambda: total(over=7), f"{SUM}: 7 is no window", '"24h"'),
    (lambda: total(over=["7d", 5]), f"{SUM}: 5 is no window", "Window"),
    (lambda: total(over={"7d", "1d"}), rf"{SUM}: \{{'.*'\}} is no window", "in a list"),
    (lambda: total(over=[]), f"{SUM} has no window", 'over="24h"'),
    (lambda: Window("1h", hop="2h"), "window '1h': hop is 2h", "at most the window's size"),
    (lambda: Window("1h", hop="0h"), "window '1h': hop is 0s", "more than zero"),
    (lambda: Window(None, hop="1h"), "window 'lifetime': a lifetime has a hop", "leave hop out"),
    (lambda: Window("1h", hop="1h", kind="tumbling"), "window '1h': a tumbling window has a hop", "leave hop out"),
    (lambda: Window(None, kind="tumbling"), "window 'lifetime' cannot be tumbling", "give .* its size"),
    (lambda: Window("1h", kind="hopping"), "window '1h': kind is 'hopping'", '"sliding" or "tumbling"'),  # type: ignore[arg-type]
    (lambda: Window("1h", closed="both"), "window '1h': closed is 'both'", '"left" or "right"'),  # type: ignore[arg-type]
    (lambda: Window("1h", offset="-7d"), "window '1h': offset: '-7d' is no duration", "numbers with units"),
    # Columns and names
    (lambda: agg.sum("", over="7d"), r"aggregation sum\(\) names no column", r"agg\.sum\('amount'"),
    (lambda: agg.sum(5, over="7d"), r"aggregation sum\(5\): 5 is not usable", "text"),  # type: ignore[arg-type]
    (lambda: agg.sum("a:b", over="7d"), r"aggregation sum\('a:b'\): 'a:b' is not usable", "field_mapping"),
    (lambda: total(name="a:b"), "aggregation 'a:b': 'a:b' is not usable as a column name", "without ':'"),
    (lambda: total(name=5), "aggregation 5: 5 is not usable as a column name", "text"),
    (lambda: total(name="__x"), "aggregation '__x': '__x' is reserved", "another name"),
    # Arguments
    (lambda: agg.last_n("amount", 0, over="7d"), r"aggregation last_n\('amount'\): n is 0", "from 1 to 1,000"),
    (lambda: agg.first_n("amount", True, over="7d"), r"first_n\('amount'\): n is True", "from 1 to 1,000"),
    (lambda: agg.last_distinct_n("amount", 1001, over="7d"), r"last_distinct_n\('amount'\): n is 1001", "to 1,000"),
    (lambda: agg.last_n("amount", 0, over="7d", name="recent"), "aggregation 'recent': last_n: n is 0", "from 1"),
    (lambda: agg.top_k("amount", 0, over="7d"), r"aggregation top_k\('amount'\): k is 0", "from 1 to 1,000"),
    (lambda: agg.approx_percentile("amount", 2, over="7d"), r"approx_percentile\('amount'\): q is 2", "from 0 to 1"),
    (lambda: agg.approx_percentile("amount", "p99", over="7d"), "q is 'p99'", "from 0 to 1"),  # type: ignore[arg-type]
    (
        lambda: agg.approx_percentile("amount", 0.5, relative_error=0, over="7d"),
        r"approx_percentile\('amount'\): relative_error is 0",
        "from 1e-05 to 0.5",
    ),
    (
        lambda: agg.approx_count_distinct("amount", precision=20, over="7d"),
        r"approx_count_distinct\('amount'\): precision is 20",
        "from 4 to 16",
    ),
    (lambda: agg.histogram("amount", [3, 1], over="7d"), r"histogram\('amount'\): edges is \(3, 1\)", "greater than"),
    (lambda: agg.histogram("amount", [], over="7d"), r"histogram\('amount'\): edges is \(\)", "1 to 1,000 numbers"),
    (lambda: agg.histogram("amount", [0, float("nan")], over="7d"), "the edge nan is no number", r"edges=\["),
    (lambda: total(length=0), f"{SUM}: length is 0", "from 1 to 65,536"),
    # Conditions
    (lambda: total(where="status = = 'a'"), f"{SUM}: where: this is not one SQL expression", "one condition"),
    (lambda: total(where="select 1"), f"{SUM}: where: the keyword 'select' cannot stand", "after WHERE"),
    (lambda: total(where="at > now()"), rf"{SUM}: where: `NOW\(\)`, which differs", "column or a literal"),
    (lambda: total(where=5), f"{SUM}: where is 5", "SQL text"),
    # Own aggregations
    (
        lambda: agg.custom("nowhere:Thing", "amount", over="7d"),
        "no aggregation at 'nowhere:Thing': No mod",
        "importable",
    ),
    (
        lambda: agg.custom("decimal:Nope", "amount", over="7d"),
        "no aggregation at 'decimal:Nope': .*'Nope'",
        "importable",
    ),
    (lambda: agg.custom("decimal:Decimal", "amount", over="7d"), "'decimal:Decimal' is no aggregation", "subclass"),
    (lambda: agg.custom(int, "amount", over="7d"), "<class 'int'> is no aggregation", "subclass of gnomon.agg.Custom"),  # type: ignore[arg-type]
    (lambda: agg.custom(Silent, "amount", over="7d"), "Silent' does not say takes_types", "takes_types ="),
    (lambda: agg.custom(Unfinished, "amount", over="7d"), "Unfinished' cannot be made: .*empty", "lacks no method"),
    # Views
    (lambda: view("count"), f"{SPEND}'count' is no aggregation", r"agg\.sum"),
    (lambda: view(aggregations=total()), f"{SPEND}aggregations is Aggregation", r"aggregations=\["),
    (lambda: view(total(), ttl="7d"), "feature view 'spend' has aggregations and a ttl", "leave ttl out"),
    (
        lambda: view(total(), total(where="ok")),
        rf"{SPEND}several .* 'amount_sum_7d': of sum\('amount'\), sum\('amount'\) where ok",
        "name='…'",
    ),
    (
        lambda: view(total(name="x"), agg.count(over="1d", name="x")),
        rf"{SPEND}several .* 'x': of sum\(.*, count",
        "name",
    ),
    (
        lambda: view(total(over=["7d", Window("7d", hop="1d")])),
        rf"{SPEND}several .* 'amount_sum_7d': of two windows of sum\('amount'\)\.",
        "one aggregation for each of these windows",
    ),
    (
        lambda: view(total(name="user_id")),
        rf"{SPEND}feature 'user_id' of aggregation sum\('amount'\) is called like a join key",
        "another name",
    ),
    (
        lambda: view(total(name="status"), agg.count(over="1d", where="status = 'a'")),
        rf"{SPEND}feature 'status' of aggregation sum\('amount'\) is called like a column",
        "another name",
    ),
    (
        lambda: view(total(), schema=[Field("amout", Int64)]),
        f"{SPEND}schema has 'amout', which no agg",
        "what they look",
    ),
    (
        lambda: view(aggregations=(), inputs=[Field("a", Int64)]),
        f"{SPEND}inputs without aggregations",
        "leave inputs out",
    ),
    (
        lambda: view(agg.sum("vec", over="7d", length=2), agg.mean("vec", over="7d", length=3)),
        rf"{SPEND}aggregations sum\('vec'\) and mean\('vec'\) .* 2 and 3 elements",
        "one length",
    ),
    (
        lambda: view(agg.sum("status", over="7d"), schema=[Field("status", String)]),
        rf"{SPEND}aggregation sum\('status'\): sum takes numbers and truth values, not String",
        "count_distinct",
    ),
    (
        lambda: view(agg.count_distinct("vec", over="7d"), schema=[Field("vec", Array(Int64))]),
        rf"{SPEND}aggregation count_distinct\('vec'\): .*not Array\(Int64\)",
        "of arrays use count, first or last",
    ),
    (lambda: view(total())[["amount_sum_7"]], "view 'spend' has no feature 'amount_sum_7'", "'amount_sum_7d'"),
    (lambda: FileSource(path="a", operation="op"), "file source 'a' has an operation and no event_id", "event_id="),
    # Documents
    (lambda: document(function="summ"), rf"{SPEND}aggregation summ\('amount'\): no aggregation .* 'summ'", "'sum'"),
    (lambda: document(arguments={"lenght": 3}), f"{SPEND}{SUM}: sum has no argument 'lenght'", "takes length"),
    (lambda: document(function="last_n"), rf"{SPEND}aggregation last_n\('amount'\): last_n needs .*'n'", "takes n"),
    (lambda: document(wher="ok"), f"{SPEND}Aggregation 'sum' has an unknown field 'wher'", "'where'.*newer gnomon"),
]


@pytest.mark.parametrize(("mistake", "said", "hint"), MADE, ids=[said[:60] for _, said, _ in MADE])
def test_a_mistake_is_told_when_it_is_made(mistake: Callable[[], Any], said: str, hint: str) -> None:
    with pytest.raises(GnomonError, match=said) as caught:
        mistake()
    assert caught.match(f"Hint: .*({hint})")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FeatureStore]:
    columns = {
        "user_id": [1, 1],
        "amount": [1.0, 2.0],
        "status": ["a", "b"],
        "vec": pa.array([[1.0], [2.0]], pa.list_(pa.float64())),
        "pair": [{"x": 1}, {"x": 2}],
        "op": ["upsert", "delete"],
        "number": [1, 2],
        "at": [day(5), day(6)],
    }
    pq.write_table(pa.table(columns), tmp_path / "orders.parquet")
    config = RepoConfig(project="shop", repo_path=tmp_path, online_store=Backend("memory"))
    with FeatureStore(tmp_path, config=config, clock=ManualClock(day(10))) as made:
        yield made


def orders(**changes: Any) -> FileSource:
    return FileSource(**{"name": "orders", "path": "orders.parquet", "timestamp_field": "at", **changes})


APPLIED: list[tuple[FeatureView, str, str]] = [
    (
        view(agg.sum("amout", over="7d")),
        rf"{SPEND}aggregation sum\('amout'\): column 'amout' is not in",
        "mean 'amount'",
    ),
    (view(total(where="stauts = 'a'")), f"{SPEND}{SUM}: where: column 'stauts' is not in the source", "mean 'status'"),
    (view(agg.sum("status", over="7d")), rf"{SPEND}aggregation sum\('status'\): sum takes .*, not String", "another"),
    (view(agg.sum("vec", over="7d")), rf"{SPEND}aggregation sum\('vec'\): .*not Array\(Float64\)", "length=128"),
    (view(total(length=3)), f"{SPEND}{SUM}: sum with a length takes vectors, not Float64", "leave length out"),
    (
        view(agg.last("pair", over="7d")),
        rf"{SPEND}aggregation last\('pair'\): column 'pair' is struct",
        "store its parts",
    ),
    (view(total(where="status > 5")), rf"{SPEND}{SUM}: where: status \(String\) and 5", "single quotes"),
    (view(total(where="amount + 1")), rf"{SPEND}{SUM}: where: .* is no condition", "compare it"),
    (
        view(total(), schema=[Field("amount", Int64)]),
        f"{SPEND}{SUM}: column 'amount' is declared Int64, but the source has Float64",
        "declare dtype=Float64",
    ),
    (
        view(total(), source=orders(event_id="order")),
        "file source 'orders': event_id 'order' is not in",
        "name a column",
    ),
    (
        view(total(), source=orders(event_id="pair")),
        "file source 'orders': event_id 'pair' is struct",
        "texts or numbers",
    ),
    (
        view(total(), source=orders(event_id="number", operation="opp")),
        "file source 'orders': operation 'opp' is not in the source",
        "mean 'op'",
    ),
    (
        view(total(), source=orders(event_id="number", operation="amount")),
        "file source 'orders': operation 'amount' is double",
        "'upsert' and 'delete'",
    ),
]


@pytest.mark.parametrize(("wrong", "said", "hint"), APPLIED, ids=[said[:60] for _, said, _ in APPLIED])
def test_what_does_not_fit_the_source_is_told_by_apply(
    store: FeatureStore, wrong: FeatureView, said: str, hint: str
) -> None:
    for ask in (store.plan, store.apply):
        with pytest.raises(DefinitionError, match=said) as caught:
            ask([wrong])
        assert caught.match(f"Hint: .*({hint})")
    assert store.list_feature_views() == []


def test_a_windowed_view_that_was_never_loaded_is_not_found(store: FeatureStore) -> None:
    store.apply([view(total())])
    answer = store.get_online_features(["spend:amount_sum_7d"], {"user_id": [1]})
    assert answer.to_dict(include_statuses=True)["amount_sum_7d__status"] == ["NOT_FOUND"]


def test_a_feature_that_is_not_there_is_told_with_the_nearest(store: FeatureStore) -> None:
    store.apply([view(total())])
    asked = {"user_id": [1], "event_timestamp": [day(9)]}
    with pytest.raises(UnknownFeature, match="did you mean 'amount_sum_7d'"):
        store.get_historical_features(asked, ["spend:amount_sum_7"])
