"""Keeping the served-row log: status, merging, trimming, and an entity that is erased from it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gnomon import Entity, FeatureService, FeatureStore, FeatureView, Field, LoggingConfig, PushSource, agg
from gnomon.clock import ManualClock, to_micros
from gnomon.config import SERVED, Backend, RepoConfig
from gnomon.errors import DefinitionError, NotRegistered, RequestError
from gnomon.flows.served_log import service_of
from gnomon.types import Float64, String, UnixTimestamp

NOON = datetime(2024, 1, 1, 12, tzinfo=timezone.utc)
FIELDS = [Field("user", String), Field("shop", String), Field("amount", Float64), Field("at", UnixTimestamp)]
PAYS, VISITS = PushSource(name="pays", schema=FIELDS), PushSource(name="visits", schema=FIELDS)
USER, SHOP = (Entity(name=name, value_type=String) for name in ("user", "shop"))
SPEND = FeatureView(name="spend", entities=[USER], source=PAYS, aggregations=[agg.count(over="1d")])
SHOPS = FeatureView(name="shops", entities=[SHOP], source=VISITS, schema=[Field("amount", Float64)])
NEEDLE = "unmistakable-user"


def logged(name: str, *views: Any, retain: str | None = None) -> FeatureService:
    return FeatureService(name=name, features=[*views], logging_config=LoggingConfig(retain=retain))


BOTH = logged("both", SPEND, SHOPS)
PAIR = logged(
    "pair",
    SPEND.with_name("payer").with_join_key_map({"user": "from_user"}),
    SPEND.with_name("payee").with_join_key_map({"user": "to_user"}),
)
KEPT = logged("kept", SPEND, retain="10d")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON)


@pytest.fixture
def store(tmp_path: Path, clock: ManualClock) -> Iterator[FeatureStore]:
    config = RepoConfig(project="p", repo_path=tmp_path, online_store=Backend("memory"))
    with FeatureStore(tmp_path, config=config, clock=clock) as made:
        made.apply([BOTH, PAIR, KEPT])
        made.materialize_incremental()
        yield made


def users(store: FeatureStore, service: str = "both", column: str = "user") -> list[str | None]:
    table = store.served(service)
    return table[column].to_pylist() if column in table.column_names else []


def ask(store: FeatureStore, *keys: str | None, service: str = "both", shop: str = "s") -> None:
    store.get_online_features(service, [{"user": one, "shop": shop} for one in keys])


def places_of(folder: Path, needle: str) -> list[str]:
    """The files in which a text stands, plain or in a column of a Parquet file."""
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            if path.suffix == ".parquet":
                data += repr(pq.read_table(path).to_pydict()).encode() + str(pq.read_metadata(path)).encode()
            if needle.encode() in data:
                found.append(str(path))
    return found


def test_an_entity_is_erased_and_nothing_else(store: FeatureStore, tmp_path: Path) -> None:
    ask(store, NEEDLE, "other", None)
    store.recorder.flush()
    (log,) = store.log_status("both", served=True)
    store._served_logs().log(log).seal()
    ask(store, "other", NEEDLE)
    store.recorder.flush()
    ask(store, NEEDLE)  # it waits
    report = store.erase({"user": NEEDLE})
    assert dict(report.removed) == {f"served {log}": 3}
    assert report.events == 0
    assert users(store) == ["other", None, "other"]
    assert places_of(tmp_path, NEEDLE) == []
    assert dict(store.erase({"user": NEEDLE}).removed) == {}
    assert store.verify_log("both").causes == {}


def test_an_entity_is_erased_by_whatever_column_it_was_looked_up(store: FeatureStore, tmp_path: Path) -> None:
    for payer, payee in ((NEEDLE, "a"), ("a", NEEDLE), ("a", "b")):
        store.get_online_features("pair", [{"from_user": payer, "to_user": payee}], full_feature_names=True)
    (log,) = store.log_status("pair", served=True) or [""]
    assert dict(store.erase({"user": NEEDLE}).removed) == {f"served {log}": 2}
    assert users(store, "pair", "from_user") == ["a"]
    assert places_of(tmp_path, NEEDLE) == []


def test_an_erasure_goes_no_further_than_its_sources(store: FeatureStore) -> None:
    ask(store, "u")
    store.get_online_features("kept", [{"user": "u"}])
    assert dict(store.erase({"user": "u"}, sources=["visits"]).removed) == {f"served {names(store, 'both')[0]}": 1}
    assert (users(store), users(store, "kept")) == ([], ["u"])
    store.erase({"user": "u"}, sources=["pays"])
    assert users(store, "kept") == []


def test_rows_of_a_service_that_is_gone_are_erased_too(store: FeatureStore) -> None:
    store.get_online_features("kept", [{"user": "u"}])
    store.recorder.flush()
    store.apply([BOTH, PAIR], prune=True)
    assert dict(store.erase({"user": "u"}).removed) == {f"served {names(store, 'kept')[0]}": 1}


@settings(max_examples=max(10, settings.default.max_examples // 10), deadline=None)
@given(
    asked=st.lists(st.tuples(st.sampled_from(["u", "v", None]), st.sampled_from(["s", "t"])), max_size=12),
    erased=st.fixed_dictionaries({}, optional={"user": st.sampled_from(["u", "v"])})
    | st.fixed_dictionaries({"shop": st.sampled_from(["s", "t"])}),
)
def test_exactly_the_rows_about_the_entity_go(
    asked: list[tuple[str | None, str]], erased: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("repo")
    config = RepoConfig(project="p", repo_path=folder, online_store=Backend("memory"))
    with FeatureStore(folder, config=config, clock=ManualClock(NOON)) as store:
        store.apply([BOTH])
        for user, shop in asked:
            ask(store, user, shop=shop)
        if erased:
            store.erase(erased)
        rows = [{"user": user, "shop": shop} for user, shop in asked]
        left = [row for row in rows if not erased or not erased.items() <= row.items()]
        table = store.served("both")
        assert (table.select(["user", "shop"]).to_pylist() if len(table) else []) == left


def names(store: FeatureStore, service: str) -> list[str]:
    return list(store.log_status(service, served=True))


def test_rows_go_that_are_older_than_the_service_says(store: FeatureStore, clock: ManualClock) -> None:
    for number in range(30):
        clock.set(NOON + timedelta(days=number))
        store.get_online_features("kept", [{"user": f"{number}"}])
        ask(store, f"{number}")
        store.recorder.flush()
        for name in store.log_status(served=True):
            store._served_logs().log(name).seal()
    (report,) = store.trim_log(served=True)
    assert (service_of(report.source), report.events, report.files) == ("kept", 19, 19)
    assert users(store, "kept") == [f"{number}" for number in range(19, 30)]
    assert len(users(store)) == 30
    (report,) = store.trim_log("both", NOON + timedelta(days=12), served=True)
    assert (report.events, len(users(store))) == (12, 18)
    with pytest.raises(RequestError, match="nothing says how old rows of 'both' have to be to go"):
        store.trim_log("both", served=True)
    with pytest.raises(RequestError, match="before= needs a service"):
        store.trim_log(before=NOON, served=True)
    with pytest.raises(NotRegistered, match="no feature service named 'none'"):
        store.trim_log("none", served=True)


def test_rows_of_a_shape_that_is_written_no_more_go_too(store: FeatureStore, clock: ManualClock) -> None:
    store.get_online_features("kept", [{"user": "u"}])
    store.recorder.flush()
    store.apply(logged("kept", SHOPS, retain="10d"))
    clock.set(NOON + timedelta(days=11))
    (report,) = store.trim_log("kept", served=True)
    assert report.events == 1
    assert store.served("kept").num_rows == 0


def test_small_files_are_merged(store: FeatureStore, clock: ManualClock, tmp_path: Path) -> None:
    for number in range(5):
        ask(store, f"{number}")
        store.recorder.flush()
        store._served_logs().log(names(store, "both")[0]).seal()
    status = store.log_status(served=True)[names(store, "both")[0]]
    assert (status.events, status.files, status.position) == (5, 5, 5)
    assert status.happened == (to_micros(NOON), to_micros(NOON))
    (merged,) = store.merge_log("both", served=True).values()
    assert (merged.files, merged.into) == (5, 1)
    assert users(store) == [f"{number}" for number in range(5)]
    assert store.verify_log("both").agreed == 10
    assert not (tmp_path / SERVED / "both").exists()
    assert store.log_status() == {"pays": store.log_status("pays")["pays"], "visits": store.log_status()["visits"]}


@pytest.mark.parametrize("rate", [0, -0.1, 1.1, "0.1", None, True, float("nan")])
def test_a_rate_is_a_share(rate: Any) -> None:
    with pytest.raises(DefinitionError, match="sample_rate is"):
        LoggingConfig(sample_rate=rate)


def test_a_config_that_cannot_be_followed() -> None:
    with pytest.raises(DefinitionError, match="destination is 'warehouse'"):
        LoggingConfig(destination="warehouse")  # type: ignore[arg-type]
    with pytest.raises(DefinitionError, match="retain"):
        LoggingConfig(retain="often")
    with pytest.raises(DefinitionError, match="retain is '0s'"):
        LoggingConfig(retain="0s")
    with pytest.raises(DefinitionError, match=r"feature service 'm': logging_config is 0\.1"):
        FeatureService(name="m", features=[SPEND], logging_config=0.1)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["request_id", "event_timestamp", "views", "amount__status"])
def test_columns_that_the_log_has_for_itself(name: str) -> None:
    amount = Field("amount", Float64)
    clashing = FeatureView(name="v", entities=[USER], source=PAYS, schema=[amount, Field(name, String)])
    FeatureService(name="m", features=[clashing])
    with pytest.raises(DefinitionError, match=f"the served-row log would have two columns '{name}'"):
        logged("m", clashing)
    with pytest.raises(DefinitionError, match=f"the served-row log would have two columns '{name}'"):
        logged("m", SHOPS.with_join_key_map({"shop": name}))
    with pytest.raises(DefinitionError, match="'__shop' is reserved"):
        logged("m", SHOPS.with_join_key_map({"shop": "__shop"}))


def test_what_is_logged_changes_no_values(store: FeatureStore) -> None:
    (change,) = store.plan([logged("kept", SPEND, retain="5d")]).changes
    assert (change.id, change.changes_values) == ("kept", False)
    assert store.get_feature_service("kept").logging_config == LoggingConfig(retain="10d")
