"""Flights of 2013 as they became known, pushed or through Kafka, read online as they were to leave, and verified.

    python -m gnomon.examples.flights.replay --days 14 --reads 6000
    python -m gnomon.examples.flights.replay --days 14 --reads 6000 --kafka localhost:9092

The store's clock goes with the events: each is stamped with the instant at which it became known (`playback` says how,
and `topic` how through a broker), and every read is of the instant at which that flight was due to leave. What this
says is that online reads are what history gives again, bit by bit: from what each answer says that it knew, and from
all that was known then. Exits with 1 if one is not.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pyarrow as pa

from gnomon import FeatureStore
from gnomon.clock import ManualClock
from gnomon.config import Backend, RepoConfig
from gnomon.examples.flights import arrivals, data, live
from gnomon.examples.flights.playback import Played, play
from gnomon.examples.flights.telling import Teller
from gnomon.examples.flights.topic import Through, made_topic

__all__ = ["replay", "short"]

SHORT_DAYS, SHORT_READS, SHORT_EVERY = (33, 6), 400, 15
"""The demo's: 3 to 8 February, of whose last third so many departures are read, told every so many minutes."""


def replay(
    folder: Path,
    steps: Sequence[arrivals.Step],
    *,
    kafka: str = "",
    online: str = "memory",
    advanced: Callable[[], object] = lambda: None,
) -> Played:
    """Live through some steps in a new store.

    Args:
        folder: where the store is made: an empty one.
        steps: what there is at each instant.
        kafka: "host:port" of a broker through which events go; they are pushed where there is none.
        online: the type of the online store.
        advanced: is called after each step.

    Raises:
        MissingExtra: there is a broker, and no driver.
        BackendError: the broker does not do its part, or the log has other events than were delivered.
    """
    clock = ManualClock(data.YEAR_START)
    # By this clock, minutes pass in milliseconds: to look every few of them whether definitions changed takes long.
    config = RepoConfig(project="flights_live", repo_path=folder, online_store=Backend(online), cache_ttl_seconds=0)
    with FeatureStore(folder, config=config, clock=clock) as store:
        topic = made_topic(kafka) if kafka else ""
        store.apply(live.definitions(live.of_topic(kafka, topic) if kafka else live.pushed()))

        def push(events: pa.Table) -> None:
            store.push(live.SOURCE, events)

        with Through(store, kafka, topic) if kafka else nullcontext(push) as deliver:
            return play(store, clock, steps, deliver, advanced)


def short(flights: pa.Table, teller: Teller) -> Played:
    """Live through six days without a broker, as the demo does.

    Args:
        flights: the table of flights.
        teller: times it.
    """
    some = arrivals.days(flights, *SHORT_DAYS)
    steps = list(arrivals.steps(some, reads=SHORT_READS, skipped=0.7, every=SHORT_EVERY))
    with tempfile.TemporaryDirectory(prefix="gnomon-live-") as scratch, teller.step("live", len(steps)) as advance:
        return replay(Path(scratch), steps, advanced=advance)


def main(arguments: Sequence[str] | None = None) -> int:
    """Replay some days, and say what was found."""
    asked = _asked(arguments)
    teller = Teller(quiet=asked.json)
    flights = arrivals.days(data.flights(), asked.first, asked.days)
    steps = list(arrivals.steps(flights, reads=asked.reads, skipped=asked.skipped, every=asked.every))
    warnings.simplefilter("ignore")
    scratch = tempfile.TemporaryDirectory(prefix="gnomon-replay-", dir=asked.folder)
    with scratch as folder, teller.step("replay", len(steps)) as advance:
        played = replay(Path(folder), steps, kafka=asked.kafka, online=asked.online, advanced=advance)
    if asked.json:
        print(json.dumps(played.to_dict()))
    teller.say(f"{played}\n{played.verdict}\nAll in all {teller.seconds['replay']:.0f} s.")
    return 0 if played.is_faithful else 1


def _asked(arguments: Sequence[str] | None) -> Any:
    parser = argparse.ArgumentParser(prog="python -m gnomon.examples.flights.replay", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--kafka", default="", metavar="HOST:PORT", help="go through this broker")
    parser.add_argument("--days", type=int, default=14, help="so many days (14)")
    parser.add_argument("--first", type=int, default=31, help="from this one on; 0 is 1 January (31)")
    parser.add_argument("--reads", type=int, default=6_000, help="so many departures are read online (6000)")
    parser.add_argument("--skipped", type=float, default=0.1, help="none in this first share of the days (0.1)")
    parser.add_argument("--every", type=int, default=1, metavar="MINUTES", help="events are told so often (1)")
    parser.add_argument("--online", default="lmdb", help="type of the online store (lmdb)")
    parser.add_argument("--folder", type=Path, help="where the store is made, and removed")
    parser.add_argument("--json", action="store_true", help="the figures for a program")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
