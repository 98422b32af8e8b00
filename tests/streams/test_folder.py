"""A folder of files as a stream."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from payments import Heard, check_each_once, letters, logged, message, messages, opened, payment, pushed, run

from gnomon import FeatureStore
from gnomon.contracts.log import OFFSET, PARTITION
from gnomon.contracts.streams import Room
from gnomon.errors import NotRegistered, RequestError, SourceError
from gnomon.flows.worker import Limits


@pytest.fixture
def store(tmp_path: Path) -> Any:
    (tmp_path / "events").mkdir()
    with opened(tmp_path, pushed()) as store:
        yield store


def lines(count: int, first: int = 0) -> bytes:
    return b"".join(one + b"\n" for one in messages(count, first))


def read(store: FeatureStore, heard: list[str] | None = None, **told: Any) -> Any:
    return run(store, heard, folder=store.repo_path / "events", **told)


def test_files_are_read_in_the_order_of_their_names_and_once(store: FeatureStore) -> None:
    folder = store.repo_path / "events"
    (folder / "b.jsonl").write_bytes(lines(3, first=5))
    (folder / "a.ndjson").write_bytes(lines(5))
    (folder / "c").mkdir()
    (folder / "c" / "d.jsonl.gz").write_bytes(gzip.compress(lines(2, first=8)))
    for left_out in (".hidden.jsonl", "_part.jsonl", "notes.txt"):
        (folder / left_out).write_bytes(lines(9, first=100))
    assert read(store).appended == 10
    assert read(store).appended == 0
    assert [row["id"] for row in logged(store)] == [f"e{number}" for number in range(10)]
    assert store.logs.log("payments").offsets() == {"a.ndjson": 4, "b.jsonl": 2, "c/d.jsonl.gz": 1}
    first = store.stream_positions()[0]
    assert (first.partition, first.offset, first.end, first.lag) == ("a.ndjson", 4, None, None)


def test_files_grow_and_come(store: FeatureStore) -> None:
    folder = store.repo_path / "events"
    (folder / "a.jsonl").write_bytes(lines(3))
    read(store)
    with (folder / "a.jsonl").open("ab") as file:
        file.write(lines(2, first=3))
    (folder / "0.jsonl").write_bytes(lines(2, first=5))
    assert read(store).appended == 4
    check_each_once(store, range(7))


def test_a_last_line_without_an_end_is_taken_once_it_is_whole(store: FeatureStore) -> None:
    path, heard = store.repo_path / "events" / "a.jsonl", Heard()
    whole = lines(3)
    path.write_bytes(whole[:-20])
    assert read(store, heard).appended == 2
    assert heard == ["payments: a.jsonl ends in the middle of a line, which was left out."]
    path.write_bytes(whole[:-1])
    assert read(store).appended == 1
    path.write_bytes(whole)
    assert read(store).appended == 0
    path.write_bytes(whole + lines(1, first=3))
    assert read(store).appended == 1
    check_each_once(store, range(4))


def test_rows_of_parquet_and_csv_need_no_decoding(store: FeatureStore) -> None:
    folder = store.repo_path / "events"
    table = pa.Table.from_pylist([payment(number) for number in range(1_000)])
    pq.write_table(table.slice(0, 600), folder / "a.parquet", row_group_size=70)
    pa_csv.write_csv(table.slice(600, 200), folder / "b.csv")
    with gzip.open(folder / "c.csv.gz", "wb") as file:
        pa_csv.write_csv(table.slice(800), file)
    limits = Limits(room=Room(messages=64))
    assert read(store, around={"limits": limits}).appended == 1_000
    check_each_once(store, range(1_000))
    assert logged(store)[599][OFFSET] == 599
    assert logged(store)[999][PARTITION] == "c.csv.gz"


def test_bad_rows_of_a_file_are_kept_as_texts(store: FeatureStore) -> None:
    (store.repo_path / "events" / "a.csv").write_text(
        "id,user_id,amount,at\ne0,0,0,2024-01-01\ne1,one,0,2024-01-01\ne2,2,,\n"
    )
    report = read(store)
    assert (report.appended, report.rejected) == (1, 2)
    kept = letters(store)
    assert [row["reason"] for row in kept] == ["'user_id': 'one' is no Int64 without loss", "'at' is null"]
    assert b"'id': 'e1'" in kept[0]["payload"]


def test_a_worker_goes_on_in_the_middle_of_a_file(store: FeatureStore) -> None:
    folder = store.repo_path / "events"
    (folder / "a.jsonl").write_bytes(lines(100))
    pq.write_table(pa.Table.from_pylist([payment(number) for number in range(100, 200)]), folder / "b.parquet")
    limits = Limits(room=Room(messages=30))

    class EnoughError(Exception):
        pass

    def stop_at(position: int) -> Any:
        def feed(name: str) -> None:
            if store.logs.log("payments").position() >= position:
                raise EnoughError

        return feed

    for position in (30, 90, 130, 190):
        with pytest.raises(EnoughError):
            read(store, around={"limits": limits, "feed": stop_at(position)})
    read(store)
    check_each_once(store, range(200))


def test_a_file_that_is_broken_keeps_no_other_back(store: FeatureStore) -> None:
    folder, heard = store.repo_path / "events", Heard()
    (folder / "a.parquet").write_bytes(b"PAR1 no")
    (folder / "b.jsonl.gz").write_bytes(gzip.compress(lines(50))[:-30])
    (folder / "c.jsonl").write_bytes(lines(5))
    assert read(store, heard).appended >= 5
    assert heard.about("a.parquet cannot be read, and is left out until it changes")
    assert heard.about("b.jsonl.gz cannot be read")
    (folder / "a.parquet").unlink()
    (folder / "b.jsonl.gz").unlink()
    pq.write_table(pa.Table.from_pylist([payment(9)]), folder / "a.parquet")
    assert read(store).appended == 1


def test_a_batch_is_bounded_by_bytes(store: FeatureStore) -> None:
    wide = [message(number, note="x" * 10_000) for number in range(100)]
    (store.repo_path / "events" / "a.jsonl").write_bytes(b"\n".join(wide))
    assert read(store, around={"limits": Limits(room=Room(size=100_000))}).batches >= 9
    check_each_once(store, range(100))


def test_what_cannot_be_asked(store: FeatureStore, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="there is no folder"):
        run(store, folder=tmp_path / "nowhere")
    with pytest.raises(RequestError, match=r"a folder holds one source's events.*\n.*name it: payments"):
        store.stream([], folder=tmp_path)
    with pytest.raises(RequestError, match=r"push source 'payments' has no stream.*\n.*make it a KafkaSource"):
        store.stream(["payments"])
    with pytest.raises(RequestError, match="no source has a stream"):
        store.stream()
    with pytest.raises(NotRegistered, match=r"no push source named 'paiments'.*\n.*\n.*did you mean 'payments'"):
        store.stream(["paiments"])
    with pytest.raises(RequestError, match="until_idle: 'soon' is no duration"):
        store.stream(["payments"], folder=tmp_path, until_idle="soon")


def test_it_stops_when_nothing_comes(store: FeatureStore) -> None:
    (store.repo_path / "events" / "a.jsonl").write_bytes(lines(3))
    assert read(store, once=False, until_idle="50ms").appended == 3
