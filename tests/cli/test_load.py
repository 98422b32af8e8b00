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
