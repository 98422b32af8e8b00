"""`materialize`, `materialize-incremental` and `teardown`."""

from __future__ import annotations

from pathlib import Path

from .conftest import Run


def test_incremental_loads_once_and_then_only_what_is_new(applied: Path, run: Run) -> None:
    first = run("materialize-incremental", "--json")
    assert (first.code, first.err) == (0, "")
    assert [(one["view"], one["changed"]) for one in first.json["views"]] == [("station_status@1", 4)]
    assert [one["changed"] for one in run("materialize-incremental", "--json").json["views"]] == [0]


def test_a_span_and_one_view(applied: Path, run: Run) -> None:
    said = run("materialize", "2024-01-01", "2024-01-02T00:00:00Z", "--views", "station_status", "--json")
    assert [(one["mode"], one["rows"]) for one in said.json["views"]] == [("range", 0)]


def test_replace_without_instants_reloads_everything(loaded: Path, run: Run) -> None:
    said = run("materialize", "--replace", "--json")
    assert [(one["mode"], one["changed"]) for one in said.json["views"]] == [("replace", 4)]


def test_people_get_a_line_a_view_and_no_bar_through_a_pipe(applied: Path, run: Run) -> None:
    said = run("materialize-incremental")
    assert said.out.startswith("station_status@1: ")
    assert said.err == ""


def test_what_is_no_instant_or_no_view(applied: Path, run: Run) -> None:
    assert "'soon' is no instant" in run("materialize-incremental", "soon").err
    assert "after the end" in run("materialize", "2024-01-02", "2024-01-01").err
    said = run("materialize-incremental", "-v", "station_statu")
    assert (said.code, said.out) == (1, "")
    assert "did you mean 'station_status'?" in said.err


def test_teardown_asks_and_takes_no_silence_for_an_answer(loaded: Path, run: Run) -> None:
    said = run("teardown")
    assert (said.code, said.out) == (2, "")
    assert "add --yes" in said.err
    assert len(run("entities", "list", "--json").json) == 1


def test_teardown_removes_the_project_and_leaves_the_files(loaded: Path, run: Run) -> None:
    assert run("teardown", "--yes", "--json").json == {"removed": "shop"}
    assert run("history", "--json").json == []
    assert (loaded / "features.py").exists()
    assert (loaded / "data" / "stations.parquet").exists()
    assert run("apply", "--json").json["version"] == 1


PUSHED = """
from gnomon import Entity, FeatureView, Field, PushSource
from gnomon.types import Int64, UnixTimestamp

FIELDS = [Field("bike", Int64), Field("km", Int64), Field("at", UnixTimestamp)]
rides = FeatureView(name="rides", entities=[Entity(name="bike")], source=PushSource(name="rides", schema=FIELDS))
"""


def test_events_in_a_file_are_pushed_and_read_back(applied: Path, run: Run) -> None:
    (applied / "pushed.py").write_text(PUSHED)
    (applied / "rides.csv").write_text("bike,km,at\n1,5,2024-01-01T12:00:00Z\n2,,2024-01-02\n,3,2024-01-03\n")
    assert run("apply").code == 0
    said = run("push", "rides", "rides.csv", "--json")
    assert (said.code, said.err) == (0, "")
    assert (said.json["appended"], said.json["rejected"]) == (2, 1)
    assert said.json["rejections"] == [{"row": 2, "reason": "'bike' is null"}]
    told = run("push", "rides", "rides.csv")
    assert told.out.startswith("rides: 2 events appended, positions 3 to 4, known from ")
    assert "1 × 'bike' is null" in told.out
    spine = "select 1::bigint as bike, timestamptz '2024-02-01' as event_timestamp"
    answer = run("get-historical-features", "-s", spine, "-f", "rides:km", "--json")
    assert [row["km"] for row in answer.json["preview"]] == [5]
    assert any("pushed" in line for line in run("data-sources", "list").out.splitlines())


def test_pushing_to_what_is_not_there(applied: Path, run: Run) -> None:
    (applied / "rides.csv").write_text("bike\n1\n")
    said = run("push", "rides", "rides.csv")
    assert (said.code, said.out) == (1, "")
    assert "no push source named 'rides' is registered" in said.err
    (applied / "pushed.py").write_text(PUSHED)
    run("apply")
    said = run("push", "rides", "none.csv")
    assert (said.code, said.out) == (1, "")
    assert "the events cannot be read" in said.err
