"""`plan`, `apply`, `history`, and the lists and descriptions of what is registered."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import Run

GROUPS = {
    "entities": ("station_id", "Entity"),
    "feature-views": ("station_status", "FeatureView"),
    "feature-services": ("demand", "FeatureService"),
    "data-sources": ("readings", "FileSource"),
}


def test_plan_shows_and_changes_nothing(repo: Path, run: Run) -> None:
    said = run("plan")
    assert (said.code, said.err) == (0, "")
    assert "+ feature view station_status@1" in said.out
    assert run("plan").out == said.out
    assert run("history", "--json").json == []


def test_apply_then_plan_has_nothing_left(repo: Path, run: Run) -> None:
    applied = run("apply", "--json").json
    assert applied["version"] == 1
    assert {(one["action"], one["kind"]) for one in applied["changes"]} == {
        ("add", kind) for _, kind in GROUPS.values()
    }
    assert run("plan", "--json").json["changes"] == []


def test_what_is_gone_from_the_repo_goes_only_with_prune(applied: Path, run: Run) -> None:
    definitions = applied / "features.py"
    definitions.write_text(definitions.read_text().split("# What one model asks for")[0])
    assert run("plan", "--json").json["changes"] == []
    planned = run("plan", "--prune", "--json").json["changes"]
    assert [(one["action"], one["id"]) for one in planned] == [("remove", "demand")]
    assert run("apply", "--prune").code == 0
    assert run("feature-services", "list", "--json").json == []


def test_a_change_is_marked_by_what_it_does(applied: Path, run: Run) -> None:
    definitions = applied / "features.py"
    definitions.write_text(definitions.read_text().replace('ttl="1d"', 'ttl="2d"'))
    changed = run("plan", "--json").json["changes"]
    assert [(one["id"], one["changes_values"]) for one in changed] == [("station_status@1", True)]
    assert "station_status@1" in run("plan").out


def test_history_tells_who_did_what_newest_first(applied: Path, run: Run) -> None:
    definitions = applied / "features.py"
    definitions.write_text(definitions.read_text().replace("A place to take", "Somewhere to take"))
    assert run("apply").code == 0
    commits = run("history", "--json").json
    assert [one["version"] for one in commits] == [2, 1]
    assert commits[0]["changes"] == [
        {"action": "change", "kind": "Entity", "id": "station_id", "changes_values": False}
    ]
    assert [one["version"] for one in run("history", "--limit", "1", "--json").json] == [2]
    lines = run("history").out.splitlines()
    assert lines[0].split() == ["VERSION", "AT", "BY", "CHANGES"]
    assert lines[1].rstrip().endswith("~ entity station_id")


@pytest.mark.parametrize("group", GROUPS)
def test_lists_and_descriptions(applied: Path, run: Run, group: str) -> None:
    name, kind = GROUPS[group]
    listed = run(group, "list")
    assert (listed.code, listed.err) == (0, "")
    assert listed.out.splitlines()[0].startswith("NAME")
    assert name in listed.out.splitlines()[1]
    documents = run(group, "list", "--json").json
    assert [(one["kind"], one["name"]) for one in documents] == [(kind, name)]
    assert run(group, "describe", name, "--json").json == documents[0]
    assert run(group, "describe", name).out.startswith(f"kind: {kind}\nname: {name}\n")


@pytest.mark.parametrize("group", GROUPS)
def test_a_name_nobody_registered_is_told_the_nearest(applied: Path, run: Run, group: str) -> None:
    name, _ = GROUPS[group]
    said = run(group, "describe", name[:-1])
    assert (said.code, said.out) == (1, "")
    assert f"did you mean '{name}'" in said.err


@pytest.mark.parametrize("group", GROUPS)
def test_empty_lists_say_what_to_do(repo: Path, run: Run, group: str) -> None:
    assert "gnomon apply" in run(group, "list").out
    assert run(group, "list", "--json").json == []


def test_a_broken_file_of_definitions_is_an_error_with_its_place(repo: Path, run: Run) -> None:
    (repo / "more.py").write_text("from gnomon import Entity\nEntity(name='no good')\n")
    said = run("apply")
    assert (said.code, said.out) == (1, "")
    assert "more.py" in said.err
    assert "Traceback" not in said.err
    assert run("history", "--json").json == []


def test_a_source_that_is_missing_is_the_operators(repo: Path, run: Run) -> None:
    (repo / "data" / "stations.parquet").unlink()
    said = run("apply", "--json")
    assert (said.code, said.out) == (4, "")
    assert said.error["error"] == "SourceError"


def test_keys_without_effect_are_noted_to_people(repo: Path, run: Run) -> None:
    config = repo / "feature_store.yaml"
    config.write_text(config.read_text() + "flags: {}\n")
    assert "Note: no effect here: flags" in run("plan").err
    assert run("plan", "--json").err == ""


WINDOWED = """
from gnomon import FeatureView, Window, agg
from features import readings, station

busy = FeatureView(
    name="busy",
    entities=[station],
    source=readings,
    aggregations=[
        agg.count(over=["1h", Window("7d", hop="1h")]),
        agg.mean("bikes", over="1d", where="bikes > 0 and bikes < 100", name="bikes_some"),
    ],
)
"""


def test_aggregations_are_shown_in_words(applied: Path, run: Run) -> None:
    (applied / "more.py").write_text(WINDOWED)
    assert run("apply").code == 0
    assert "count_1h, count_7d, bikes_some" in run("feature-views", "list").out
    described = run("feature-views", "describe", "busy").out
    assert "- count() over 1h, 7d hop 1h\n" in described
    assert "- bikes_some: mean(bikes) over 1d where bikes > 0 and bikes < 100\n" in described
    document = run("feature-views", "describe", "busy", "--json").json
    assert document["aggregations"][1]["where"] == "bikes > 0 and bikes < 100"
    (applied / "more.py").write_text(WINDOWED.replace('"1d"', '"2d"'))
    assert "    aggregations.bikes_some.over: [1d] → [2d]" in run("plan").out
