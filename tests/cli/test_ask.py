"""`get-historical-features` and `get-online-features`."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from .conftest import Run

TRAIN = ("get-historical-features", "--spine", "trips.csv")
READ = ("get-online-features", "--service", "demand")


def test_a_preview_for_people(applied: Path, run: Run) -> None:
    said = run(*TRAIN, "--service", "demand", "--limit", "3")
    lines = said.out.splitlines()
    assert said.code == 0
    assert lines[0].split() == ["station_id", "event_timestamp", "bike_taken", "bikes", "full_share"]
    assert len(lines) == 4
    assert said.err.startswith("3 of 40 rows")


def test_json_tells_rows_types_and_what_is_needed_to_ask_again(applied: Path, run: Run) -> None:
    answer = run(*TRAIN, "-f", "station_status:bikes", "-n", "2", "--full-feature-names", "--json").json
    assert (answer["rows"], len(answer["preview"])) == (40, 2)
    assert answer["columns"][-1] == {"name": "station_status__bikes", "type": "int64"}
    assert answer["metadata"]["registry_version"] == 1
    assert isinstance(answer["preview"][0]["station_status__bikes"], int)


def test_the_whole_set_in_a_file(applied: Path, run: Run) -> None:
    assert run(*TRAIN, "--service", "demand", "-o", "train.parquet").out == "Wrote 40 rows to train.parquet.\n"
    assert run(*TRAIN, "--service", "demand", "-o", "train.csv", "--json").json["rows"] == 40
    table, text = pq.read_table("train.parquet"), pyarrow.csv.read_csv("train.csv")
    assert table.num_rows == text.num_rows == 40
    assert table.column_names == text.column_names
    assert table["bikes"].to_pylist() == text["bikes"].to_pylist()
    assert table["bikes"].null_count == 0


def test_then_sees_no_late_reading(applied: Path, run: Run) -> None:
    query = "select 2 as station_id, max(event_timestamp) as event_timestamp from 'data/stations.parquet'"
    asked = ("get-historical-features", "-s", query, "--service", "demand", "--json")
    now, then = run(*asked).json, run(*asked, "--as-known", "then").json
    assert (now["metadata"]["as_known"], then["metadata"]["as_known"]) == ("now", "then")
    assert now["preview"] != then["preview"]


def test_the_spine_is_where_the_person_stands(applied: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    (applied.parent / "mine.csv").write_text((applied / "trips.csv").read_text())
    monkeypatch.chdir(applied.parent)
    for spine in ("mine.csv", "trips.csv"):
        asked = ("-c", "shop", "get-historical-features", "-s", spine, "--service", "demand", "--json")
        assert run(*asked).json["rows"] == 40


@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        (["-s", "trips.csv"], 2, "say which features, once"),
        (["-s", "trips.csv", "-f", "a:b", "--service", "c"], 2, "say which features, once"),
        (["-s", "trips.csv", "--service", "demand", "-o", "x.txt"], 2, "neither .parquet nor .csv"),
        (["-s", "nothing.csv", "--service", "demand"], 1, "nothing.csv"),
        (["-s", "trips.csv", "--service", "deman"], 1, "did you mean 'demand'?"),
        (["-s", "trips.csv", "-f", "station_status:bike"], 1, "did you mean 'bikes'?"),
        (["-s", "trips.csv", "--service", "demand", "--as-known", "later"], 1, "later"),
        (["-s", "trips.csv", "--service", "demand", "-o", "gone/x.parquet"], 4, "cannot be written"),
        (["-s", "trips.csv", "--service", "demand", "-o", "gone/x.csv"], 4, "cannot be written"),
    ],
)
def test_questions_that_cannot_be_answered(applied: Path, run: Run, words: list[str], code: int, expected: str) -> None:
    said = run("get-historical-features", *words)
    assert (said.code, said.out) == (code, "")
    assert expected in said.err
    assert not list(applied.glob("*x.*"))


def test_a_list_does_not_go_into_a_csv(applied: Path, run: Run) -> None:
    query = "select station_id, event_timestamp, [1, 2] as many from 'trips.csv'"
    said = run("get-historical-features", "-s", query, "--service", "demand", "-o", "x.csv")
    assert said.code == 1
    assert "a CSV file cannot hold 'many'" in said.err


def test_one_entity_online(loaded: Path, run: Run) -> None:
    lines = run(*READ, "--entity", "station_id=1").out.splitlines()
    assert lines[0].split() == ["station_id", "FEATURE", "VALUE", "STATUS", "EVENT", "TIME"]
    assert [(line.split()[1], line.split()[3]) for line in lines[1:]] == [
        ("bikes", "PRESENT"),
        ("full_share", "PRESENT"),
    ]


def test_many_entities_from_text_file_and_stdin(loaded: Path, run: Run) -> None:
    rows = json.dumps([{"station_id": 1}, {"station_id": 9}])
    (loaded / "rows.json").write_text(rows)
    answers = [
        run(*READ, "--entities-json", rows, "--json").json,
        run(*READ, "--entities-json", "@rows.json", "--json").json,
        run(*READ, "--entities-json", "-", "--json", stdin=rows).json,
    ]
    assert answers[0] == answers[1] == answers[2]
    assert answers[0]["bikes__status"] == ["PRESENT", "NOT_FOUND"]
    assert answers[0]["bikes"][1] is None
    assert answers[0]["bikes__ts"][0].endswith("Z")


def test_online_says_what_training_says_of_now(loaded: Path, run: Run) -> None:
    spine = "select range as station_id, now() as event_timestamp from range(1, 5)"
    trained = run("get-historical-features", "-s", spine, "--service", "demand", "--as-known", "then", "--json").json
    rows = json.dumps([{"station_id": row["station_id"]} for row in trained["preview"]])
    served = run(*READ, "--entities-json", rows, "--json").json
    for feature in ("bikes", "full_share"):
        assert served[feature] == [row[feature] for row in trained["preview"]]


@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        (["--entity", "station_id"], 2, "'station_id' is no KEY=VALUE"),
        (["--entity", "station_id=1", "--entity", "station_id=2"], 2, "stands twice"),
        (["--entity", "station_id=1", "--entities-json", "[]"], 2, "name entities once"),
        (["--entities-json", "[1"], 2, "no JSON"),
        (["--entities-json", "[1]"], 2, "not a list of objects"),
        (["--entities-json", "@gone.json"], 2, "gone.json cannot be read"),
        (["--entity", "station=1"], 1, "station_id"),
        (["--entity", "station_id=first"], 1, "station_id"),
        ([], 1, "station_id"),
    ],
)
def test_entities_that_cannot_be_understood(loaded: Path, run: Run, words: list[str], code: int, expected: str) -> None:
    said = run(*READ, *words)
    assert (said.code, said.out) == (code, "")
    assert expected in said.err


def test_reading_before_anything_is_loaded(applied: Path, run: Run) -> None:
    assert run(*READ, "--entity", "station_id=1", "--json").json["bikes__status"] == ["NOT_FOUND"]


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ((*TRAIN, "--service", "demand", "-o", "train.parquet"), "training set"),
        ((*TRAIN, "--service", "demand", "-o", "train.csv"), "training set"),
        ((*TRAIN, "--service", "demand"), "training set"),
        (("materialize",), "station_status@1"),
    ],
)
def test_long_work_shows_on_a_terminal_that_it_gets_on(applied: Path, words: tuple[str, ...], shown: str) -> None:
    ours, theirs = os.openpty()
    gnomon = [sys.executable, "-c", "from gnomon.cli import main; main()"]
    wide = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    with subprocess.Popen([*gnomon, *words], cwd=applied, env=wide, stdout=subprocess.PIPE, stderr=theirs) as running:
        os.close(theirs)
        said = b""
        with contextlib.suppress(OSError):  # how a terminal says that nobody writes to it any more
            while piece := os.read(ours, 4_096):
                said += piece
        assert running.wait(60) == 0
    os.close(ours)
    assert shown in said.decode()
    assert "\u2501" in said.decode()  # the bar
