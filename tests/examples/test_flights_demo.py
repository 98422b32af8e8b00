"""The demo as people run it: in full, on the real year."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from click.testing import CliRunner

from gnomon.cli import app
from gnomon.errors import BackendError, MissingExtra
from gnomon.examples.flights import demo, playback, serve, train
from gnomon.flows.verdicts import VerifyReport, ViewVerdict

REPLAY = serve.Replay(
    instants=1, flights=1, features=2, values=2, present=2, differences={}, load_ms=1, read_us=1, answered=pa.table({})
)
VERDICT = ViewVerdict(view="home_live@1", entities=1, compared=2, agreed=2, filled=2)
LIVE = playback.Played(
    told={"announced": 1},
    instants=1,
    restamped=0,
    deliver_s=1,
    reads=1,
    moved=0,
    read_us=1,
    verdict=VerifyReport(views=(VERDICT,)),
    verify_s=1,
)
REPORT = demo.DemoReport(folder=None, tables={}, scores=(), replay=REPLAY, online_auc=0.5, live=LIVE, seconds={})


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_from_the_raw_data_to_online_reads(installed: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = demo.run(tmp_path / "flights")
    last = {one.join: one for one in report.scores if one.service == "late_arrival"}
    windows = {one.join: one for one in report.scores if one.service == "late_arrival_windows"}
    assert list(last) == list(windows) == ["naive", "event time", "then"]
    for leaking in ("naive", "event time"):
        assert last[leaking].in_training > 0.95
        assert last[leaking].as_served < 0.65
        assert windows[leaking].in_training > windows["then"].in_training + 0.01
        assert windows[leaking].as_served < windows["then"].as_served - 0.01
    assert windows["event time"].in_training < 0.85  # nothing that would make one look twice
    for honest in (last["then"], windows["then"]):
        assert honest.in_training == honest.as_served > 0.72
    assert report.replay.disagreements == 0
    assert report.replay.instants >= 40
    assert report.replay.values > 3_000
    assert report.online_auc > 0.7
    assert report.live.is_faithful
    assert report.live.reads >= 400
    assert report.live.verdict.filled > 0.9
    assert report.live.told["cancelled"] > 200
    told = capsys.readouterr().out
    assert f"{report.live.verdict.compared:,} answers: 100.0000% agree bit by bit" in told
    assert f"{report.replay.values:,} values compared, 0 disagree" in told
    assert f"{windows['event time'].in_training:>13.3f}{windows['event time'].as_served:>12.3f}\n" in told
    assert sorted(path.name for path in (tmp_path / "flights").iterdir()) == sorted([*demo.FILES, "data", ".gnomon"])


def test_the_command_hands_on_folder_and_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def run(folder: Path | None = None, *, quiet: bool = False) -> demo.DemoReport:
        asked.append((folder, quiet))
        return replace(REPORT, folder=folder, scores=(train.Score("late_arrival", "then", 0.7, 0.6),))

    monkeypatch.setattr(demo, "run", run)
    runner = CliRunner()
    assert runner.invoke(app, ["demo"]).output == ""
    said = runner.invoke(app, ["--repo", str(tmp_path), "--json", "demo", "--keep", "here"])
    assert asked == [(None, False), (tmp_path / "here", True)]
    assert json.loads(said.stdout)["auc"] == {"late_arrival": {"then": {"in_training": 0.7, "as_served": 0.6}}}


def test_scores_stand_in_a_line_per_join_and_two_columns_per_service() -> None:
    scores = [
        train.Score(service, join.name, 0.1 * place, 0.01 * place)
        for place, (service, join) in enumerate((service, join) for service in train.SERVICES for join in train.JOINS)
    ]
    assert [line.split() for line in train.score_lines(scores)] == [
        ["last", "flights", "windows"],
        ["join", *["in", "training", "as", "served"] * 2],
        ["naive", "0.000", "0.000", "0.300", "0.030"],
        ["event", "time", "0.100", "0.010", "0.400", "0.040"],
        ["then", "0.200", "0.020", "0.500", "0.050"],
    ]


def test_a_disagreement_is_an_error_that_says_where() -> None:
    demo.refuse_disagreement(REPORT)
    wrong = replace(REPORT, replay=replace(REPLAY, differences={"weather__temp": 1}))
    with pytest.raises(BackendError, match=r"1 of 2 values read online differ from training\.\n.*weather__temp \(1\)"):
        demo.refuse_disagreement(wrong)
    late = replace(REPORT, live=replace(LIVE, verdict=VerifyReport(views=(replace(VERDICT, agreed=1),))))
    with pytest.raises(BackendError, match=r"1 of 2 live answers differ from history\.\n1 of 2 answers"):
        demo.refuse_disagreement(late)


def test_without_scikit_learn_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"scikit-learn.*\n.*gnomon\[demo\]"):
        demo.run(tmp_path / "flights")
    assert not list(tmp_path.iterdir())
