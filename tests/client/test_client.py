"""The client and a real server: every method, both kinds, with and without keys."""

from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from http_server import HttpServer, serving
from waiting import until

from gnomon import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, PushSource, agg
from gnomon.client import AsyncClient, AsyncJob, Client, Job, Retries
from gnomon.errors import (
    AccessDenied,
    ConflictError,
    DefinitionError,
    GnomonError,
    NotRegistered,
    RateLimited,
    RequestError,
    UnknownFeature,
)
from gnomon.types import Bytes, Float64, Int64, UnixTimestamp

NOON = datetime(2024, 1, 1, 12, tzinfo=timezone.utc)
USER = Entity(name="user_id", value_type=Int64)
PROFILE = FeatureView(
    name="profile",
    entities=[USER],
    schema=[Field("age", Int64), Field("score", Float64), Field("raw", Bytes), Field("since", UnixTimestamp)],
    source=FileSource(name="profiles", path="profiles.parquet", timestamp_field="ts"),
    owner="risk",
)
PAYMENTS = PushSource(
    name="payments",
    schema=[Field("user_id", Int64), Field("amount", Float64), Field("at", UnixTimestamp)],
    timestamp_field="at",
)
SPEND = FeatureView(
    name="spend", entities=[USER], source=PAYMENTS, aggregations=[agg.sum("amount", over="30d"), agg.count(over="30d")]
)
MODEL = FeatureService(name="model", features=[PROFILE[["age"]], SPEND])


def write_repo(folder: Path, config: str = "") -> None:
    columns = {
        "user_id": [1, 2],
        "ts": pa.array([NOON, NOON], pa.timestamp("us", "UTC")),
        "age": pa.array([41, None], pa.int64()),
        "score": [float("nan"), 0.5],
        "raw": pa.array([b"\x00\xff", None], pa.binary()),
        "since": pa.array([NOON, None], pa.timestamp("us", "UTC")),
    }
    pq.write_table(pa.table(columns), folder / "profiles.parquet")
    (folder / "feature_store.yaml").write_text(f"project: shop\n{config}")
    with FeatureStore(folder) as store:
        store.apply([PROFILE, MODEL])
        store.materialize_incremental()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpServer]:
    folder = tmp_path_factory.mktemp("repo")
    write_repo(folder)
    with serving(folder) as server:
        yield server


Call = Callable[..., Any]
NO_RETRIES = Retries(attempts=1)


def until_known(read: Call) -> None:
    """Ask until the server knows the key."""
    until(lambda: not denied(read), seconds=60)


def until_refused(read: Call) -> None:
    """Ask until the server knows the key no more."""
    until(lambda: denied(read), seconds=60)
    read()


def denied(read: Call) -> bool:
    try:
        read()
    except AccessDenied:
        return True
    return False


class Both:
    """A client of either kind, asked as the blocking one is."""

    def __init__(self, kind: str, url: str, **options: Any) -> None:
        self._loop = asyncio.new_event_loop() if kind == "async" else None
        self.client: Any = Client(url, **options) if self._loop is None else AsyncClient(url, **options)

    def __getattr__(self, name: str) -> Call:
        return lambda *words, **more: self.run(getattr(self.client, name)(*words, **more))

    def run(self, made: Any) -> Any:
        return made if self._loop is None else self._loop.run_until_complete(made)

    def end(self) -> None:
        self.close()
        if self._loop is not None:
            self._loop.close()


@pytest.fixture(params=["sync", "async"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def client(kind: str, server: HttpServer) -> Iterator[Both]:
    made = Both(kind, server.url)
    yield made
    made.end()


def test_reading_online(client: Both) -> None:
    rows = [{"user_id": 1}, {"user_id": 2}, {"user_id": 3}]
    answer = client.get_online_features(["profile:age", "profile:score", "profile:raw", "profile:since"], rows)
    assert answer.to_dict() == {
        "user_id": [1, 2, 3],
        "age": [41, None, None],
        "score": ["NaN", 0.5, None],
        "raw": ["AP8=", None, None],
        "since": [1704110400, None, None],
    }
    assert answer.statuses["age"] == ["PRESENT", "NULL_VALUE", "NOT_FOUND"]
    assert answer.event_timestamps["age"] == [NOON, NOON, None]
    assert len(answer) == 3
    assert answer.rows()[1] == {"user_id": 2, "age": None, "score": 0.5, "raw": None, "since": None}
    assert answer.request_id
    with pytest.raises(RequestError, match="was not asked for"):
        _ = answer.known_through
    more = answer.to_dict(include_event_timestamps=True, include_statuses=True)
    assert (more["age__ts"], more["age__status"]) == ([NOON, NOON, None], ["PRESENT", "NULL_VALUE", "NOT_FOUND"])
    assert answer.to_df()["age"].isna().tolist() == [False, True, True]
    assert answer.to_arrow()["score"].to_pylist()[1:] == [0.5, None]


def test_reading_online_as_arrow_keeps_types(client: Both) -> None:
    asked = ["profile:age", "profile:score", "profile:raw", "profile:since"]
    answer = client.get_online_features(asked, {"user_id": [1, 2, 3]}, arrow=True, known_through=True)
    table = answer.to_arrow()
    assert table.column_names == ["user_id", "age", "score", "raw", "since"]
    kinds = [pa.int64(), pa.int64(), pa.float64(), pa.binary(), pa.timestamp("us", "UTC")]
    assert table.schema.types == kinds
    assert answer.columns["raw"] == [b"\x00\xff", None, None]
    assert answer.columns["score"][0] != answer.columns["score"][0]
    assert answer.statuses["age"] == ["PRESENT", "NULL_VALUE", "NOT_FOUND"]
    assert answer.event_timestamps["age"] == [NOON, NOON, None]
    assert len(answer.known_through) == 3
    assert answer.to_df().shape == (3, 5)


@pytest.mark.parametrize(
    "rows",
    [
        [{"user_id": 1}],
        {"user_id": (1,)},
        pa.table({"user_id": [1]}),
        pd.DataFrame({"user_id": [1]}),
        pl.DataFrame({"user_id": [1]}),
    ],
)
def test_entities_come_in_many_forms(client: Both, rows: Any) -> None:
    for asked in (["profile:age"], "profile:age"):
        assert client.get_online_features(asked, rows).to_dict() == {"user_id": [1], "age": [41]}
    for service in ("model", MODEL):
        assert client.get_online_features(service, rows).columns["age"] == [41]
    lean = client.get_online_features("profile:age", rows, lean=True, full_feature_names=True)
    assert (lean.to_dict(), lean.statuses) == ({"user_id": [1], "profile__age": [41]}, {})


def test_what_a_question_is_called(client: Both, server: HttpServer, kind: str) -> None:
    answer = client.get_online_features(["profile:age"], {"user_id": [1]}, request_id="mine-1", prediction_id="p")
    assert answer.request_id == "mine-1"


def test_an_answer_can_be_made_again_from_history(client: Both) -> None:
    answer = client.get_online_features(["profile:age"], {"user_id": [1]}, known_through=True)
    spine = {"user_id": [1], "event_timestamp": [datetime.now(timezone.utc)]}
    made = client.get_historical_features(spine, ["profile:age"], as_known=answer.known_through[0])
    assert made.to_dict()["age"] == [41]


def test_numbers_that_json_has_not_are_pushed(client: Both, kind: str) -> None:
    user, now = {"sync": 700, "async": 800}[kind], datetime.now(timezone.utc)
    odd = [float("nan"), float("inf"), Decimal("2.50")]
    pushed = client.push(
        "payments", [{"user_id": user + place, "amount": one, "at": now} for place, one in enumerate(odd)]
    )
    assert (pushed.appended, pushed.rejected) == (3, 0)
    asked = {"user_id": [user, user + 1, user + 2]}
    assert client.get_online_features(["spend:amount_sum_30d"], asked).columns["amount_sum_30d"] == [
        "NaN",
        "Infinity",
        2.5,
    ]
    assert client.explain("spend:amount_sum_30d", {"user_id": user + 2})["entity"] == {"user_id": user + 2}


def test_pushing_and_reading_it(client: Both, kind: str) -> None:
    user = {"sync": 100, "async": 200}[kind]
    now = datetime.now(timezone.utc)
    events = [{"user_id": user, "amount": 2.5, "at": now}, {"user_id": user, "amount": 4.0, "at": now}]
    first = client.push("payments", events)
    assert (first.source, first.appended, first.rejected, first.duplicate) == ("payments", 2, 0, False)
    again = {f"mine-{kind}": 7}
    assert client.push("payments", events[:1], offsets=again).appended == 1
    assert client.push("payments", events[:1], offsets=again).duplicate
    assert client.push("payments", pd.DataFrame(events)).appended == 2
    read = client.get_online_features(["spend:count_30d", "spend:amount_sum_30d"], [{"user_id": user}])
    assert read.rows()[0] == {"user_id": user, "count_30d": 5, "amount_sum_30d": 15.5}
    assert client.write_to_online_store("spend", {"user_id": [user], "amount": [1.0], "at": [now]}).appended == 1
    mixed = client.push("payments", [{"user_id": None, "amount": 1.0, "at": now}, events[0]])
    assert (mixed.appended, mixed.rejected, mixed.rejections[0]["row"]) == (1, 1, 0)


def test_loading(client: Both) -> None:
    job = client.materialize_incremental()
    assert isinstance(job, (Job, AsyncJob))
    done = client.run(job.wait(60))
    assert (done.status, done.is_over, done.error) == ("done", True, None)
    assert done.report is not None
    anew = client.run(client.materialize(None, None, ["profile"], replace=True).wait(60))
    assert [one["view"] for one in anew.progress] == ["profile@1"]
    assert client.job(anew.id).status == "done"
    with pytest.raises(RequestError, match="there is no job"):
        client.job("none")
    with pytest.raises(NotRegistered):
        client.materialize(None, None, ["profil"])


@pytest.mark.parametrize(
    "form", [dict, pa.table, pd.DataFrame, pl.DataFrame, lambda one: [{"user_id": 1, "event_timestamp": NOON}]]
)
def test_training_sets(client: Both, form: Call) -> None:
    spine = form({"user_id": [1], "event_timestamp": [NOON]})
    made = client.get_historical_features(spine, "model", full_feature_names=True)
    assert made.to_arrow()["profile__age"].to_pylist() == [41]
    assert len(made) == len(made.to_df()) == 1


def test_training_sets_into_files(client: Both, tmp_path: Path) -> None:
    spine = {"user_id": [1, 2], "event_timestamp": [NOON, NOON]}
    made = client.persist_historical_features(tmp_path / "a.parquet", spine, ["profile:age"])
    assert pq.read_table(made)["age"].to_pylist() == [41, None]
    client.persist_historical_features(tmp_path / "a.arrows", spine, ["profile:age"])
    with pa.ipc.open_stream(tmp_path / "a.arrows") as stream:
        assert stream.read_all()["age"].to_pylist() == [41, None]
    with pytest.raises(UnknownFeature):
        client.persist_historical_features(tmp_path / "b.parquet", spine, ["profile:agee"])
    with pytest.raises(RequestError, match="does not say what the file shall hold"):
        client.persist_historical_features(tmp_path / "a.csv", spine, ["profile:age"])
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.arrows", "a.parquet"]


def test_what_there_is(client: Both) -> None:
    assert {one["name"] for one in client.features()} >= {"profile@1:age", "spend@1:count_30d"}
    assert {one["view"] for one in client.features(owner="risk")} == {"profile"}
    assert client.feature("profile:age")["type"] == "Int64"
    assert client.lineage("spend:count_30d")["nodes"]
    told = client.explain("profile:age", {"user_id": 1})
    assert told["value"] == 41
    assert client.health()["status"] == "ready"
    assert "gnomon" in client.metrics()


def test_registering(client: Both, kind: str) -> None:
    view = FeatureView(name=f"more_{kind}", entities=[USER], schema=[Field("age", Int64)], source=PROFILE.source)
    plan = client.register([view], dry_run=True)
    assert [one["id"] for one in plan["changes"]] == [f"more_{kind}@1"]
    done = client.register([view])
    assert done["version"] == plan["base"] + 1
    assert client.feature(f"more_{kind}:age")["version"] == 1
    with pytest.raises(ConflictError):
        client.register([view], expected_version=1)
    with pytest.raises(DefinitionError):
        client.register([{"kind": "Dream"}])


@pytest.mark.parametrize(
    ("asked", "rows", "error", "status", "said"),
    [
        (["profil:age"], [{"user_id": 1}], NotRegistered, 404, "did you mean 'profile'"),
        (["profile:agee"], [{"user_id": 1}], UnknownFeature, 404, "did you mean 'age'"),
        ("nothing", [{"user_id": 1}], NotRegistered, 404, "nothing"),
        (["profile:age"], [{"user": 1}], RequestError, 400, "user_id"),
        (["profile:age"], [{"user_id": 2**70}], RequestError, 400, ""),
    ],
)
def test_errors_are_those_of_the_library(
    client: Both, asked: Any, rows: Any, error: type[GnomonError], status: int, said: str
) -> None:
    with pytest.raises(GnomonError) as caught:
        client.get_online_features(asked, rows, request_id="mine-2")
    assert type(caught.value) is error
    assert (caught.value.facts["status"], caught.value.facts["request_id"]) == (status, "mine-2")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"user_id": 1}, {"user": 2}], "row 1 has other columns"),
        ({"user_id": "17"}, "column 'user_id' is '17'"),
        ({"user_id": 5}, "column 'user_id' is 5"),
        ("user_id=1", "is no rows"),
        ([5], "is no rows"),
        ([{"user_id": object()}], "cannot be sent"),
    ],
)
def test_what_is_wrong_before_it_is_sent(client: Both, rows: Any, said: str) -> None:
    with pytest.raises(RequestError, match=said):
        client.get_online_features(["profile:age"], rows)
    with pytest.raises(RequestError, match="asks for no features"):
        client.get_online_features([], {"user_id": [1]})


def test_with_keys(kind: str, tmp_path: Path) -> None:
    """A key is needed, allows what its scopes say, at its rate, and stops when it is revoked."""
    write_repo(tmp_path, "auth: {type: api_key}\nfeature_server: {registry_refresh: 50ms}\n")
    with FeatureStore(tmp_path) as store:
        store.create_key("first")
    with FeatureStore(tmp_path) as store, serving(tmp_path) as server:
        made = store.create_key("reader", ["read"])
        slow = store.create_key("slow", ["read"], rate_limit=1)
        reader = Both(kind, server.url, api_key=made.token)
        nobody = Both(kind, server.url)
        eager = Both(kind, server.url, api_key=lambda: slow.token, slow_timeout=60)

        def read(one: Both) -> Any:
            return one.get_online_features(["profile:age"], [{"user_id": 1}]).columns["age"]

        until_known(lambda: read(reader))
        with pytest.raises(AccessDenied) as caught:
            read(nobody)
        assert caught.value.facts["status"] == 401
        with pytest.raises(AccessDenied, match="lacks the scope 'write'") as caught:
            reader.push("payments", [{"user_id": 1, "amount": 1.0, "at": NOON}])
        assert caught.value.facts["status"] == 403
        assert nobody.health()["status"] == "ready"
        until_known(lambda: read(eager))
        quick = Both(kind, server.url, api_key=slow.token, retries=NO_RETRIES)
        with pytest.raises(RateLimited) as limited:
            until(lambda: read(quick) != [41])
        assert limited.value.facts["retry_after"] == 1.0
        store.revoke_key(made.key.id)
        with pytest.raises(AccessDenied, match="was revoked"):
            until_refused(lambda: read(reader))
        for one in (reader, nobody, eager, quick):
            one.end()


ALONE = """
import sys
for name in "click duckdb lmdb numpy pandas polars pyarrow rich sqlalchemy sqlglot yaml".split():
    sys.modules[name] = None
from gnomon.client import Client
from gnomon.errors import MissingExtra
with Client(sys.argv[1]) as client:
    answer = client.get_online_features("model", [{"user_id": 1}], full_feature_names=True)
    print(answer.columns["profile__age"])
    print(client.push("payments", {"user_id": [300], "amount": [1.0], "at": ["2024-01-01"]}).appended)
    spine = {"user_id": [1], "event_timestamp": ["2024-01-02"]}
    print(client.get_historical_features(spine, ["profile:age", "profile:score"]).to_dict())
    print(client.persist_historical_features("a.parquet", spine, ["profile:age"]).stat().st_size > 0)
    print(client.materialize_incremental().wait(60).status)
    for act in (answer.to_arrow, answer.to_df, lambda: client.get_online_features("model", spine, arrow=True)):
        try:
            act()
        except MissingExtra as missing:
            print(missing.package)
"""


def test_with_nothing_but_httpx(server: HttpServer, tmp_path: Path) -> None:
    command = [sys.executable, "-c", ALONE, server.url]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.stderr == ""
    made = "{'user_id': [1], 'event_timestamp': ['2024-01-02'], 'age': [41], 'score': ['NaN']}"
    assert done.stdout.splitlines() == ["[41]", "1", made, "True", "done", "pyarrow", "pandas", "pyarrow"]


def test_both_kinds_have_the_same_methods() -> None:
    for blocking, asynchronous in ((Client, AsyncClient), (Job, AsyncJob)):
        names = [name for name, one in vars(blocking).items() if inspect.isfunction(one) and not name.startswith("_")]
        for name in names:
            mine, other = (inspect.signature(getattr(one, name)) for one in (blocking, asynchronous))
            assert mine.parameters == other.parameters, name
            assert inspect.iscoroutinefunction(getattr(asynchronous, name)), name


def test_an_address_that_is_none() -> None:
    for url in ("", "example.org", "ftp://example.org", "http://", 5):
        with pytest.raises(RequestError, match="is no address of a server"):
            Client(url)  # type: ignore[arg-type]


def test_nothing_secret_is_printed() -> None:
    client = Client("http://127.0.0.1:1", api_key="gn_secret")
    assert repr(client) == "Client('http://127.0.0.1:1')"
    assert "secret" not in repr(vars(client))
    client.close()
