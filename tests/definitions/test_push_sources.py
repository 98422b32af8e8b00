"""Push sources: what they make of their arguments, and what they refuse."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from gnomon import FeatureView, Field, FileSource, PushSource
from gnomon.definitions.catalog import Catalog
from gnomon.definitions.codec import decode, encode, fingerprint
from gnomon.errors import DefinitionError
from gnomon.plan.changes import diff
from gnomon.types import Float64, Int64, String, UnixTimestamp

FIELDS = [Field("user_id", Int64), Field("amount", Float64), Field("at", UnixTimestamp), Field("id", String)]
FILES = FileSource(path="payments.parquet", timestamp_field="at")


def source(**changes: Any) -> PushSource:
    return PushSource(**{"name": "payments", "schema": FIELDS, **changes})


MISTAKES: list[tuple[dict[str, Any], str, str]] = [
    ({"name": "a b"}, "push source name 'a b'", "letters, digits"),
    ({"schema": []}, "'payments' has no schema", "or a batch_source"),
    ({"schema": ["amount"]}, "'amount' is no Field", r"schema=\["),
    ({"schema": [*FIELDS, Field("id", Int64)]}, "column 'id' stands twice", "once"),
    ({"schema": [*FIELDS, Field("__known", Int64)]}, "'__known' is reserved", "another name"),
    ({"schema": FIELDS[:2]}, "timestamp_field is left out, and no column is a UnixTimestamp", "timestamp_field="),
    (
        {"schema": [*FIELDS, Field("b", UnixTimestamp)]},
        "several columns are a UnixTimestamp: at, b",
        "timestamp_field=",
    ),
    ({"timestamp_field": "att"}, "timestamp_field 'att' is not in its schema", "did you mean 'at'"),
    ({"timestamp_field": "amount"}, "timestamp_field 'amount' is Float64", "as UnixTimestamp"),
    ({"event_id": "idd"}, "event_id 'idd' is not in its schema", "did you mean 'id'"),
    ({"operation": "id"}, "an operation and no event_id", "event_id="),
    ({"event_id": "id", "operation": "amount"}, "operation 'amount' is Float64", "as String"),
    ({"batch_source": "a.parquet"}, "batch_source is 'a.parquet'", "a FileSource"),
    ({"batch_source": FILES}, "nothing says which of its rows are in the log, too", "cutover="),
    ({"batch_source": FileSource(path="payments"), "cutover": 0}, "its batch source is called so", "another name"),
    ({"cutover": "2024-01-01"}, "a cutover and no batch_source", "leave cutover out"),
    ({"batch_source": FILES, "cutover": "soon"}, "cutover: 'soon' is no instant", "ISO-8601"),
    ({"description": 7}, "description is 7", "a text"),
]


@pytest.mark.parametrize(("changes", "what", "hint"), MISTAKES, ids=[what for _, what, _ in MISTAKES])
def test_a_mistake_names_the_source_and_the_next_step(changes: dict[str, Any], what: str, hint: str) -> None:
    with pytest.raises(DefinitionError, match=what) as wrong:
        source(**changes)
    assert wrong.match(f"(?s)push source.*Hint: .*{hint}")


def test_the_only_instant_is_the_event_time() -> None:
    assert source().timestamp_field == "at"


def test_what_is_left_out_is_said_by_the_batch_source() -> None:
    files = FileSource(path="a.csv", timestamp_field="t", event_id="id", field_mapping={"t": "at"})
    made = source(batch_source=files)
    assert (made.timestamp_field, made.event_id, made.operation) == ("at", "id", "")
    assert PushSource(name="payments", batch_source=files).schema == ()


def test_a_column_that_nobody_named_is_not_renamed() -> None:
    files = FileSource(path="a.csv", timestamp_field="at", field_mapping={"": "amount"})
    assert source(batch_source=files, cutover=0).event_id == ""


def test_a_cutover_is_an_instant_however_it_is_written() -> None:
    zone = timezone(timedelta(hours=1))
    said = ["2024-01-01", datetime(2024, 1, 1, 1, tzinfo=zone), 1_704_067_200_000_000]
    assert {source(batch_source=FILES, cutover=one).cutover for one in said} == {"2024-01-01T00:00:00Z"}


@pytest.mark.parametrize(
    ("batch", "has"), [(None, True), (FILES, False), (FileSource(path="a", timestamp_field="at", delay="1h"), True)]
)
def test_known_times_are_the_logs_and_those_of_the_files(batch: FileSource | None, has: bool) -> None:
    assert source(batch_source=batch, event_id="id").has_known_times is has


def test_it_comes_back_from_json_with_its_batch_source() -> None:
    made = source(batch_source=FILES, event_id="id", description="all of them")
    view = FeatureView(name="spend", entities=["user_id"], source=made, schema=[Field("amount", Float64)])
    catalog = Catalog.of([view])
    assert sorted(catalog.definitions) == [
        ("Entity", "user_id"),
        ("FeatureView", "spend@1"),
        ("FileSource", "payments.parquet"),
        ("PushSource", "payments"),
    ]
    assert sorted(catalog.sources) == ["payments", "payments.parquet"]
    assert encode(made)["batch_source"] == {"ref": "FileSource", "name": "payments.parquet"}
    assert decode(encode(made), lambda kind, name: FILES) == made
    assert Catalog.from_documents(catalog.documents()) == catalog
    assert catalog.views["spend@1"].source == made


def test_what_changes_values_changes_the_fingerprint() -> None:
    made = source(batch_source=FILES, event_id="id")
    assert fingerprint(source(batch_source=FILES, event_id="id", description="x", owner="y")) == fingerprint(made)
    others = [
        source(event_id="id"),
        source(batch_source=FileSource(path="payments.parquet", timestamp_field="at", delay="1h"), event_id="id"),
        source(batch_source=FILES, event_id="id", cutover=0),
        source(batch_source=FILES, event_id="user_id"),
    ]
    assert len({fingerprint(one) for one in (made, *others)}) == 5


def test_a_change_of_the_batch_source_names_the_views_that_stand_on_it() -> None:
    def catalog(files: FileSource) -> Catalog:
        pushed = source(batch_source=files, event_id="id")
        return Catalog.of([FeatureView(name="v", entities=["user_id"], source=pushed, schema=FIELDS[1:2])])

    changes = diff(catalog(FILES), catalog(FileSource(path="payments.parquet", timestamp_field="at", delay="1h")))
    assert {change.kind: change.affects for change in changes}["FileSource"] == ("v@1",)


def test_two_sources_of_one_name_are_refused_whatever_their_kinds() -> None:
    with pytest.raises(DefinitionError, match="two sources of different kinds are both called 'payments'"):
        Catalog.of([source(), FileSource(path="payments")])
