"""`explain` and `lineage`."""

from __future__ import annotations

from pathlib import Path

from .conftest import Run

FEATURE = "station_status:bikes"


def test_a_value_is_explained_to_people(loaded: Path, run: Run) -> None:
    said = run("explain", FEATURE, "station_id=1")
    assert said.code == 0
    lines = said.out.splitlines()
    assert lines[0].startswith("station_status@1:bikes of station_id=1 at ")
    assert any(line.startswith("  check    made again of the events below, it is the same") for line in lines)
    assert any(line.startswith("  online ") and "PRESENT" in line for line in lines)
    assert any(line.startswith("1 event inside:") for line in lines)
    assert any("older than the row that wins" in line for line in lines)


def test_and_to_programs(loaded: Path, run: Run) -> None:
    answer = run("explain", FEATURE, "station_id=1", "--json").json
    assert answer["check"]["agrees"]
    assert answer["online"]["value"] == answer["value"]
    at = answer["events"][0]["event_time"]
    then = run("explain", FEATURE, "station_id=1", "--at", at, "--as-known", "then", "--json").json
    assert (then["at"], then["as_known"]) == (at, "then")


def test_lineage_of_a_definition_and_of_a_value(applied: Path, run: Run) -> None:
    said = run("lineage", FEATURE).out
    assert "column bikes (value) → feature station_status@1:bikes" in said
    assert "feature station_status@1:bikes → service demand" in said
    graph = run("lineage", FEATURE, "station_id=1", "--json").json
    assert [node["kind"] for node in graph["nodes"]] == ["event", "source", "view", "feature"]


def test_what_cannot_be_understood(applied: Path, run: Run) -> None:
    assert run("explain", FEATURE, "station_id").code == 2
    assert "'station_id' is no KEY=VALUE" in run("explain", FEATURE, "station_id").err
    assert "'station_id' stands twice" in run("lineage", FEATURE, "station_id=1", "station_id=2").err
    said = run("explain", FEATURE, "--json")
    assert (said.code, said.error["error"]) == (1, "RequestError")
    assert "the entity has no 'station_id'" in said.error["message"]
    assert run("explain", "station_status:bike", "station_id=1", "--json").error["error"] == "UnknownFeature"
