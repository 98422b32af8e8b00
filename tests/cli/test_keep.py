"""Commands that keep logs, erase and tell lags."""

from __future__ import annotations

from pathlib import Path

import pytest

from gnomon import FeatureStore

from .conftest import Run

PUSHED = """
from gnomon import Entity, FeatureView, Field, PushSource
from gnomon.types import Int64, UnixTimestamp

FIELDS = [Field("bike", Int64), Field("km", Int64), Field("at", UnixTimestamp)]
rides = FeatureView(
    name="rides", entities=[Entity(name="bike")], source=PushSource(name="rides", schema=FIELDS), ttl="30d")
"""


@pytest.fixture
def pushed(applied: Path, run: Run) -> Path:
    (applied / "pushed.py").write_text(PUSHED)
    assert run("apply").code == 0
    for name in ("one", "two"):
        (applied / f"{name}.csv").write_text("bike,km,at\n1,5,2024-01-01T12:00:00Z\n2,,2024-01-02\n,3,2024-01-03\n")
        assert run("push", "rides", f"{name}.csv").code == 0
        with FeatureStore(applied) as store:
            store.logs.log("rides").seal()
    return applied


def test_what_logs_hold(pushed: Path, run: Run) -> None:
    for words in (("log",), ("log", "status"), ("log", "status", "rides")):
        said = run(*words, "--json").json["rides"]
        assert (said["events"], said["files"], said["begins"], said["position"]) == (4, 2, 1, 4)
        assert said["happened"] == ["2024-01-01T12:00:00Z", "2024-01-02T00:00:00Z"]
        assert "2024-01-01T12:00:00Z to 2024-01-02T00:00:00Z" in run(*words).out
    assert run("log", "status", "ride").code == 1


def test_an_empty_project(applied: Path, run: Run) -> None:
    assert "There is no push source" in run("log").out
    assert run("log", "merge", "--json").json == {}
    assert "Nothing was erased." in run("erase", "--list").out


def test_merging(pushed: Path, run: Run) -> None:
    assert run("log", "merge", "--json").json == {"rides": {"files": 2, "into": 1, "removed": 0}}
    assert "rides" in run("log", "merge", "rides").out
    assert run("log", "--json").json["rides"]["events"] == 4


def test_trimming(pushed: Path, run: Run) -> None:
    said = run("log", "trim")
    assert said.code == 1
    assert "nothing says how old events have to be to go" in said.err
    said = run("log", "trim", "rides", "--before", "2024-01-03")
    assert (said.code, said.out) == (2, "")
    assert "add --yes" in said.err
    said = run("log", "trim", "rides", "--before", "2024-01-03", "--yes", "--json")
    assert said.json[0]["events"] == 0, "they happened then, and are known since today"
    said = run("log", "trim", "rides", "--before", "2100-01-01", "--yes")
    assert "view 'rides@1' needs the events of the last 30d" in said.err
    config = pushed / "feature_store.yaml"
    config.write_text(config.read_text() + "\nlog:\n  retain: 20d\n")
    said = run("log", "trim")
    assert "log: retain is 20d, and view 'rides@1' needs the events of the last 30d" in said.err
    config.write_text(config.read_text().replace("20d", "400d"))
    assert "rides: 0 events from before" in run("log", "trim").out
    config.write_text(config.read_text().replace("400d", "soon"))
    assert "log: retain: 'soon' is no duration" in run("log", "trim").err


def test_erasing(pushed: Path, run: Run) -> None:
    said = run("erase", "bike=1")
    assert (said.code, said.out) == (2, "")
    for words in ((), ("bike",), ("bike=1", "bike=2")):
        assert run("erase", *words, "--yes").code == 2
    said = run("erase", "bike=1", "--yes", "--json")
    assert (said.json["removed"], said.json["events"], said.json["left"]) == (
        {"online rides@1": 1, "log rides": 2},
        2,
        [],
    )
    assert "Nothing of it was kept" in run("erase", "bike=1", "--source", "rides", "--yes").out
    one, two = run("erase", "--list", "--json").json
    assert (one["id"], one["sources"], two["sources"]) == (said.json["id"], [], ["rides"])
    assert "log rides: 2" in run("erase", "--list").out
    assert run("log", "--json").json["rides"]["events"] == 2


def test_lags(pushed: Path, run: Run) -> None:
    (found,) = run("lag", "rides", "--json").json
    assert (found["kind"], found["events"], found["negative"]) == ("log", 4, 0.0)
    assert found["p50"] > 0
    told = run("lag").out
    assert "P99.9" in told
    assert run("lag", "nothing").code == 1
