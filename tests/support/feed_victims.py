"""Processes that push, load and stream what is online, to be killed at any instant; and the project they work on.

    with Nursery() as nursery:
        pid = nursery.start("push", place, name="till")
        nursery.kill(pid)                           # SIGKILL; what went wrong before that is in `failures(place)`

Chunks hold a few events here (`small_chunks`), so that a few hundred of them are sealed, corrected, expired and settled
all the time. Victims are forked from a process that has imported everything and opened nothing.
"""

from __future__ import annotations

import os
import random
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nursery import Forking, be_nursery

FAILURES = "failures.txt"
STEPS = "steps"
"""A victim says here, by a byte each time, that it begins a piece of work."""
STREAM = "stream-of-s"
SMALL = (4, 3)
"""So many records a chunk has in these tests, and so many chunks a block."""
KEYS = 5
SECOND = 1_000_000
REFERENCES = [
    *(f"corrected:{name}" for name in ("count_2s", "count_lifetime", "n_sum_2s", "n_sum_lifetime", "x_sum_2s")),
    *(f"corrected:{name}" for name in ("x_sum_lifetime", "word_distinct", "word_last_5s", "big_2s", "big_lifetime")),
    *(f"plain:{name}" for name in ("count_2s", "count_lifetime", "n_sum_2s", "n_sum_lifetime", "big_lifetime")),
    "latest:n",
    "latest:word",
    "newest:n",
]


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a project is kept; plain data, so that other processes can be told."""

    folder: str
    online: str
    options: dict[str, Any]

    def opened(self, clock: Any = None) -> Any:
        """The project's store."""
        from gnomon import FeatureStore
        from gnomon.clock import SystemClock
        from gnomon.config import Backend, RepoConfig

        config = RepoConfig(
            project="p",
            repo_path=Path(self.folder),
            online_store=Backend(self.online, self.options),
            log=Backend("embedded", {"path": ".gnomon/log", "seal_bytes": 20_000}),
        )
        return FeatureStore(self.folder, config=config, clock=clock or SystemClock())


def small_chunks() -> tuple[Any, ...]:
    """Make chunks small in this process, those of its children too; what it was before."""
    from gnomon.core.ledger.shape import Shape

    before = Shape.__init__.__defaults__
    Shape.__init__.__defaults__ = SMALL
    return before  # type: ignore[no-any-return]


def definitions(redis: str = "") -> list[Any]:
    """Windowed and row views of events with ids, files beside them, and of events without.

    Args:
        redis: the URL of a server whose stream brings those without.
    """
    from gnomon import Entity, FeatureView, Field, FileSource, PushSource, RedisStreamSource, Window, agg
    from gnomon.types import Float64, Int64, String, UnixTimestamp

    fields = [Field("k", Int64), Field("n", Int64), Field("x", Float64), Field("word", String)]
    fields += [Field("at", UnixTimestamp), Field("id", Int64), Field("op", String)]
    files = FileSource(path="old", timestamp_field="at", created_timestamp_column="created")
    by_id = PushSource(name="c", schema=fields, event_id="id", operation="op", batch_source=files, timestamp_field="at")
    plain = PushSource(name="s", schema=fields[:5], timestamp_field="at")
    if redis:
        told = {"url": redis, "stream": STREAM, "field": "json"}
        plain = RedisStreamSource(name="s", schema=fields[:5], timestamp_field="at", **told)
    entity, near, ever = Entity(name="k"), Window("2s"), Window(None)
    sums = [agg.count(over=[near, ever]), agg.sum("n", over=[near, ever])]
    big = agg.count(over=[near, ever], where="n > 50", name="big")
    more = [agg.sum("x", over=[near, ever]), agg.count_distinct("word", over="5s", name="word_distinct")]
    return [
        FeatureView(
            name="corrected",
            entities=[entity],
            source=by_id,
            aggregations=[*sums, big, *more, agg.last("word", over="5s")],
        ),
        FeatureView(name="plain", entities=[entity], source=plain, aggregations=[*sums, big]),
        FeatureView(name="latest", entities=[entity], source=by_id, schema=[Field("n", Int64), Field("word", String)]),
        FeatureView(name="newest", entities=[entity], source=plain, schema=[Field("n", Int64)]),
    ]


def events(chance: random.Random, now: int, count: int) -> dict[str, list[Any]]:
    """Events of late, some later than others, some of the future; of few ids, so that many correct or delete others."""
    import pyarrow as pa

    lateness = [0, 0, 0, 5_000, SECOND // 3, 3 * SECOND, -SECOND // 2]
    instants = [now - chance.choice(lateness) - chance.randrange(1_000) for _ in range(count)]
    ids = [chance.choice([None, *range(60)]) for _ in range(count)]
    return {
        "k": [chance.randrange(KEYS) for _ in range(count)],
        "n": [chance.choice([None, *range(100)]) for _ in range(count)],
        "x": [chance.choice([None, 0.1, 1e16, -7.3, 1e-9]) for _ in range(count)],
        "word": [chance.choice(["a", "b", "čaj", None]) for _ in range(count)],
        "at": pa.array(instants, pa.int64()).cast(pa.timestamp("us", "UTC")),
        "id": ids,
        "op": ["delete" if one is not None and chance.random() < 0.15 else None for one in ids],
    }


def table(given: Mapping[str, Any], *, by_id: bool) -> Any:
    """Events as one of the sources has them."""
    import pyarrow as pa

    types = {"k": pa.int64(), "n": pa.int64(), "x": pa.float64(), "word": pa.string()}
    types |= {"id": pa.int64(), "op": pa.string()} if by_id else {}
    columns = {name: pa.array(given[name], kind) for name, kind in types.items()}
    return pa.table({**columns, "at": given["at"]})


def land(place: Place, number: int) -> None:
    """Put a file beside the log."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder, now = Path(place.folder) / "old", time.time_ns() // 1_000
    folder.mkdir(exist_ok=True)
    given = table(events(random.Random(number), now - SECOND, 40), by_id=True)
    created = pa.array([now] * len(given), pa.int64()).cast(pa.timestamp("us", "UTC"))
    pq.write_table(given.append_column("created", created), folder / f"{number}.parquet")


def step(place: Place) -> None:
    """Say that a piece of work begins."""
    with (Path(place.folder) / f"{STEPS}-{os.getpid()}").open("ab") as file:
        file.write(b".")


def steps(place: Place, pid: int) -> int:
    """How many pieces of work a victim began."""
    path = Path(place.folder) / f"{STEPS}-{pid}"
    return path.stat().st_size if path.exists() else 0


@dataclass(frozen=True)
class Behind:
    """A clock that is some seconds behind."""

    seconds: float

    def now(self) -> int:
        return time.time_ns() // 1_000 - int(self.seconds * SECOND)


def push(place: Place, name: str = "till", pause: float = 0.0, behind: float = 0.0) -> None:
    """A producer: it sends again what it was sending when it was killed, and goes on."""
    chance = random.Random()
    with place.opened(Behind(behind)) as store:
        at = {source: max(store.logs.log(source).offsets().get(name, 0), 0) for source in "cs"}
        while True:
            for source in "cs":
                step(place)
                given = events(chance, time.time_ns() // 1_000, chance.randrange(1, 13))
                to = "offline" if chance.random() < 0.1 else "online_and_offline"
                report = store.push(source, table(given, by_id=source == "c"), to, offsets={name: at[source]})
                told = [one.behind for one in report.online if one.behind and "the clock was behind" not in one.behind]
                assert not told, told
                at[source] += 1
            time.sleep(pause)


def load(place: Place) -> None:
    """A loader: all of it anew, again and again."""
    chance = random.Random()
    with place.opened() as store:
        while True:
            step(place)
            if chance.random() < 0.7:
                store.materialize(None, time.time_ns() // 1_000, replace=True)
            else:
                store.materialize_incremental()


def stream(place: Place, source: str = "c", folder: str = "", once: bool = False) -> None:
    """A worker, which reads a folder or what the source itself says."""
    from gnomon.contracts.streams import Room
    from gnomon.flows.worker import Limits

    limits = Limits(room=Room(messages=20, wait=0.05, linger=0.01), patience=120.0)
    with place.opened() as store:
        step(place)
        store.stream([source], folder=folder or None, once=once, around={"limits": limits})


WORKS: Mapping[str, Callable[..., None]] = {one.__name__: one for one in (push, load, stream)}


def failures(place: Place) -> str:
    """What went wrong in victims that ended by themselves."""
    path = Path(place.folder) / FAILURES
    return path.read_text() if path.exists() else ""


class Nursery(Forking, program=__file__):
    """A process that victims are forked from; leaving the block kills those that are left, and ends it."""

    def start(self, work: str, place: Place, **told: Any) -> int:
        """Start a victim: the process's id."""
        return self._started({"work": work, "place": asdict(place), **told})


def main() -> None:
    """Be a nursery."""
    import redis  # noqa: F401

    import gnomon.engines.duckdb.engine
    import gnomon.flows.feed
    import gnomon.flows.ingest
    import gnomon.flows.materialize
    import gnomon.flows.stream
    import gnomon.formats.json
    import gnomon.log.embedded
    import gnomon.online.lmdb
    import gnomon.online.redis.store
    import gnomon.online.sqlite
    import gnomon.registry.sql
    import gnomon.store
    import gnomon.streams.folder
    import gnomon.streams.redis_streams  # noqa: F401

    small_chunks()
    be_nursery(_be_a_victim)


def _be_a_victim(work: str, place: dict[str, Any], **told: Any) -> None:
    code = 1
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        WORKS[work](Place(**place), **told)
        code = 0
    except BaseException:
        with (Path(place["folder"]) / FAILURES).open("a") as file:
            file.write(f"{work}:\n")
            traceback.print_exc(file=file)
    finally:
        os._exit(code)


if __name__ == "__main__":
    main()
