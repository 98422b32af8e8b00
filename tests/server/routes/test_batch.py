"""Training sets over HTTP are those the store gives, in whatever form they are asked and answered."""

from __future__ import annotations

import io
from datetime import timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from served import NOW, Client, context_of, event

from gnomon import FeatureStore
from gnomon.server.routes.bodies import JSON
from gnomon.server.routes.tables import ARROW, PARQUET, Pieces
from gnomon.server.settings import ServerSettings

FEATURES = ["profile:age", "spend:amount_sum_30d"]
AT = "2024-01-19T00:00:00Z"
ROWS = {"user_id": [1, 2, 9], "event_timestamp": ["2024-01-19T12:00:00Z"] * 3, "note": ["a", None, "b"]}
ANSWER = {"age": [31, None, None], "amount_sum_30d": [2.5, None, None]}


@pytest.fixture
def client(client: Client) -> Client:
    """One payment has been pushed."""
    client.post("/push", {"push_source_name": "payments", "events": [event(1, 2.5, AT)]})
    return client


def rows(count: int = 3) -> pa.Table:
    stamps = pa.array([NOW - timedelta(hours=12)] * count, pa.timestamp("us", "UTC"))
    return pa.table({"user_id": pa.array(([1, 2, 9] * count)[:count]), "event_timestamp": stamps})


def stream_of(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def parquet_of(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def table_in(answer: Any) -> pa.Table:
    assert answer.status_code == 200, answer.text
    if answer.headers["content-type"] == PARQUET:
        return pq.read_table(io.BytesIO(answer.content))
    assert answer.headers["content-type"] == ARROW
    return pa.ipc.open_stream(answer.content).read_all()


def test_json_in_and_out(client: Client) -> None:
    answer = client.post("/features/batch", {"entity_df": ROWS, "features": FEATURES}).json()
    assert answer["columns"] == {**ROWS, **ANSWER}
    assert answer["metadata"]["features"] == {"age": "profile@1:age", "amount_sum_30d": "spend@1:amount_sum_30d"}


@pytest.mark.parametrize("accept", [ARROW, PARQUET, f"text/html, {PARQUET};q=0.9"])
def test_json_in_and_tables_out(client: Client, store: FeatureStore, accept: str) -> None:
    asked = {"entity_df": ROWS, "features": FEATURES}
    table = table_in(client.post("/features/batch", asked, headers={"accept": accept}))
    assert table.select(list(ANSWER)).to_pydict() == ANSWER
    assert table == store.get_historical_features(ROWS, FEATURES).to_arrow().replace_schema_metadata(None)
    assert b"gnomon" in table.schema.metadata, "it can be made again"
    assert store.reproduce(table).to_arrow().select(list(ANSWER)).to_pydict() == ANSWER


@pytest.mark.parametrize(("written", "kind"), [(stream_of, ARROW), (parquet_of, PARQUET)])
def test_tables_in(client: Client, written: Any, kind: str) -> None:
    body, headers = written(rows()), {"content-type": kind}
    params = {"features": FEATURES, "full_feature_names": True}
    table = table_in(client.ask("POST", "/features/batch", content=body, headers=headers, params=params))
    assert table["profile__age"].to_pylist() == ANSWER["age"]
    as_json = client.ask(
        "POST",
        "/features/batch",
        content=body,
        headers={**headers, "accept": JSON},
        params={"feature_service": "model"},
    )
    assert as_json.json()["columns"]["age"] == ANSWER["age"]


def test_hindsight_is_asked_for(client: Client) -> None:
    asked = {"entity_df": ROWS, "features": FEATURES, "as_known": "then"}
    assert client.post("/features/batch", asked).json()["columns"]["amount_sum_30d"] == [None] * 3, "known only later"
    asked["as_known"] = "2024-01-20T00:00:00Z"
    assert client.post("/features/batch", asked).json()["columns"]["amount_sum_30d"] == [2.5, None, None]
    assert client.post("/features/batch", {**asked, "as_known": "soon"}).status_code == 400


@pytest.mark.parametrize("text", ["SELECT 1 AS user_id", "profiles/a.parquet", "/etc/passwd", ""])
def test_paths_and_queries_are_not_read(shared: Client, text: str) -> None:
    answer = shared.post("/features/batch", {"entity_df": text, "features": FEATURES})
    assert answer.status_code == 400
    assert "not taken over HTTP" in answer.json()["error"]["message"]


def test_an_answer_in_many_batches(client: Client) -> None:
    count = 250_000
    answer = client.ask(
        "POST",
        "/features/batch",
        content=stream_of(rows(count)),
        headers={"content-type": ARROW},
        params={"features": FEATURES[1:]},
    )
    table = table_in(answer)
    assert len(table) == count
    assert len(pa.ipc.open_stream(answer.content).read_all()["user_id"].chunks) > 1
    assert table["amount_sum_30d"].to_pylist()[:3] == ANSWER["amount_sum_30d"]


def test_too_many_rows(store: FeatureStore) -> None:
    client = Client(context_of(store, settings=ServerSettings(batch_rows=2)))
    for body, kind in ((stream_of(rows()), ARROW), (parquet_of(rows()), PARQUET)):
        answer = client.ask(
            "POST", "/features/batch", content=body, headers={"content-type": kind}, params={"features": FEATURES}
        )
        assert answer.status_code == 413
    answer = client.post("/features/batch", {"entity_df": ROWS, "features": FEATURES})
    assert answer.status_code == 413
    assert "batch_rows" in answer.json()["error"]["hint"]
    client.close()


def test_too_many_rows_for_json(shared: Client) -> None:
    answer = shared.ask(
        "POST",
        "/features/batch",
        content=stream_of(rows(10_001)),
        headers={"content-type": ARROW, "accept": JSON},
        params={"features": FEATURES},
    )
    assert answer.status_code == 413
    assert ARROW in answer.json()["error"]["hint"]


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({"entity_df": ROWS}, 400),
        ({"entity_df": ROWS, "features": FEATURES, "feature_service": "model"}, 400),
        ({"entity_df": ROWS, "features": []}, 400),
        ({"entity_df": ROWS, "features": ["profile:agee"]}, 404),
        ({"entity_df": ROWS, "feature_service": "modal"}, 404),
        ({"entity_df": ROWS, "feature_service": "profile:age"}, 400),
        ({"entity_df": {"user_id": [1]}, "features": FEATURES}, 400),
        ({"entity_df": {**ROWS, "user_id": [1]}, "features": FEATURES}, 400),
        ({"entity_df": {**ROWS, "user_id": [2**70, 1, 1]}, "features": FEATURES}, 400),
        ({"entity_df": {**ROWS, "user_id": ["\ud800", 1, 1]}, "features": FEATURES}, 400),
        ({"entity_df": {**ROWS, "user_id": [[[1]], 1, 1]}, "features": FEATURES}, 400),
        ({"entity_df": {**ROWS, "event_timestamp": ["yesterday"] * 3}, "features": FEATURES}, 400),
        ({"entity_df": 7, "features": FEATURES}, 422),
        ({"entity_df": ROWS, "features": FEATURES, "strikt": True}, 422),
        ([], 422),
        (None, 422),
    ],
)
def test_what_is_wrong_with_a_question(shared: Client, asked: Any, status: int) -> None:
    answer = shared.post("/features/batch", asked)
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["request_id"]


@pytest.mark.parametrize("kind", [ARROW, PARQUET])
@pytest.mark.parametrize("body", [b"", b"x", b"PAR1", stream_of(rows())[:-90], parquet_of(rows())[:-90]])
def test_bodies_that_are_broken(shared: Client, kind: str, body: bytes) -> None:
    answer = shared.ask(
        "POST", "/features/batch", content=body, headers={"content-type": kind}, params={"features": FEATURES}
    )
    assert answer.status_code == 400, answer.text


def test_a_body_of_another_kind_and_an_answer_of_one(shared: Client) -> None:
    asked: dict[str, Any] = {"content": b"a,b", "params": {"features": FEATURES}}
    assert shared.ask("POST", "/features/batch", **asked, headers={"content-type": "text/csv"}).status_code == 415
    answer = shared.post("/features/batch", {"entity_df": ROWS, "features": FEATURES}, headers={"accept": "text/csv"})
    assert answer.status_code == 406


def test_a_stream_is_made_no_faster_than_it_is_taken() -> None:
    made = 0

    def batches() -> Any:
        nonlocal made
        for _ in range(10):
            made += 1
            yield pa.record_batch({"a": [1]})

    pieces = Pieces(pa.RecordBatchReader.from_batches(pa.schema({"a": pa.int64()}), batches()), ARROW)
    for number in range(1, 4):
        assert pieces.next()
        assert made == number
    pieces.close()
    assert pieces.next() is None


def stamp(value: int, unit: str, zone: str | None = None) -> pa.Array:
    return pa.array([value, None], pa.int64()).cast(pa.timestamp(unit, zone))


@pytest.mark.parametrize(
    "column",
    [
        stamp(1, "ns", "Asia/Tokyo"),
        stamp(1, "us", "Nowhere/Zone"),
        stamp(2**62, "s"),
        stamp(-(2**63), "us"),
        pa.array([2**31 - 1, None], pa.int32()).cast(pa.date32()),
        pa.array([2**62, None], pa.duration("s")),
        pa.array([{}, None], pa.struct([])),
        pa.array([(1, 2, 3), None], pa.month_day_nano_interval()),
        pa.array([b"\xff", None], pa.large_binary()),
        pa.array([[1], None], pa.list_(pa.timestamp("ns"))),
        pa.array([b"0" * 16, None], pa.binary(16)).cast(pa.uuid()),
    ],
    ids=lambda column: str(column.type),
)
def test_columns_of_all_kinds_are_answered_or_are_the_callers_matter(shared: Client, column: pa.Array) -> None:
    for name in ("note", "user_id", "event_timestamp"):
        columns: dict[str, Any] = {"user_id": [1, 2], "event_timestamp": pa.array([NOW] * 2), "note": [1, 2]}
        asked: dict[str, Any] = {"content": stream_of(pa.table({**columns, name: column}))}
        for accept in (JSON, ARROW, PARQUET):
            asked |= {"headers": {"content-type": ARROW, "accept": accept}, "params": {"features": FEATURES[:1]}}
            answer = shared.ask("POST", "/features/batch", **asked)
            assert answer.status_code in (200, 400), answer.text
            assert answer.status_code == 200 or accept != ARROW or name != "note"
