"""What is online is exact, whoever is killed: who pushes, who loads anew, who streams, at any instant.

Meanwhile, and after each kill, an answer is what history says with the answer's own token, bit for bit; in the end it
is what training says. Some tens of kills a run; 300 of each kind with `HYPOTHESIS_PROFILE=deep`.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from feed_victims import (
    KEYS,
    REFERENCES,
    STREAM,
    Nursery,
    Place,
    definitions,
    events,
    failures,
    land,
    small_chunks,
    steps,
)
from redis_server import Server, redis_server  # noqa: F401  (a fixture)

from gnomon import FeatureStore
from gnomon.clock import from_micros
from gnomon.contracts.log import POSITION
from gnomon.core.ledger.shape import Shape

DEEP = os.environ.get("HYPOTHESIS_PROFILE") == "deep"
KILLS = 100 if DEEP else 3
"""So many of each kind on each store."""
LOOKS = 5 if DEEP else 1
"""After so many kills somebody looks."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(7_200)]


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as nursery:
        yield nursery


@pytest.fixture(autouse=True)
def chunks_are_small() -> Iterator[None]:
    before = small_chunks()
    yield
    Shape.__init__.__defaults__ = before


@pytest.fixture
def chance() -> random.Random:
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    return random.Random(seed)


@pytest.fixture(params=["lmdb", "sqlite", "redis"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A project with files, and nothing loaded or pushed."""
    options: dict[str, Any] = {}
    if request.param == "redis":
        redis = pytest.importorskip("redis")
        server: Server = request.getfixturevalue("redis_server")
        options = {"connection_string": server.address}
        with redis.Redis(port=server.port) as client:
            client.flushall()
    made = Place(folder=str(tmp_path), online=request.param, options=options)
    for number in range(2):
        land(made, number)
    with made.opened() as store:
        store.apply(definitions())
        store.materialize_incremental()
    return made


def looked(store: FeatureStore) -> None:
    """Read all that is online, and hold it against history, with what each answer says that it knew."""
    response = store.get_online_features(
        REFERENCES, {"k": list(range(KEYS))}, full_feature_names=True, known_through=True
    )
    answers = response.to_arrow()
    by_token: dict[str, list[int]] = defaultdict(list)
    for key, token in enumerate(response.known_through):
        by_token[str(token)].append(key)
    for token, keys in by_token.items():
        check(answers.take(keys), made(store, keys, response.at, token), token)


def made(store: FeatureStore, keys: list[int], at: int, as_known: str) -> Any:
    asked = {"k": keys, "event_timestamp": [from_micros(at)] * len(keys)}
    return store.get_historical_features(asked, REFERENCES, as_known=as_known, full_feature_names=True).to_arrow()


def check(online: Any, offline: Any, told: str) -> None:
    for name in online.column_names:
        found, expected = (list(map(bits, table[name].to_pylist())) for table in (online, offline))
        assert found == expected, (name, told, online["k"].to_pylist())


def bits(value: Any) -> Any:
    return value.hex() if isinstance(value, float) else value


def finished(place: Place, store: FeatureStore) -> None:
    """Bring all up to the end: online is what training says, and each event of the log counts once."""
    assert failures(place) == ""
    store.materialize_incremental()
    looked(store)
    response = store.get_online_features(REFERENCES, {"k": list(range(KEYS))}, full_feature_names=True)
    answers = response.to_arrow()
    check(answers, made(store, list(range(KEYS)), response.at, "then"), "the end")
    log = store.logs.log("s").read().read_all()
    assert len(log)
    assert log[POSITION].to_pylist() == list(range(1, len(log) + 1))
    happened = log["at"].cast("int64").to_pylist()
    for key in range(KEYS):
        numbers = [
            n
            for k, n, at in zip(log["k"].to_pylist(), log["n"].to_pylist(), happened, strict=True)
            if k == key and at < response.at
        ]
        assert answers["plain__count_lifetime"][key].as_py() == len(numbers)
        assert answers["plain__n_sum_lifetime"][key].as_py() == (
            sum(n for n in numbers if n is not None) if any(n is not None for n in numbers) else None
        )


def at_work(place: Place, pid: int, chance: random.Random, pieces: tuple[int, ...] = (1, 2, 5)) -> None:
    """Wait, as a rule until a process is at work, and then a while."""
    if chance.random() < 0.9:
        wanted = steps(place, pid) + chance.choice(pieces)
        deadline = time.monotonic() + 3
        while steps(place, pid) < wanted and time.monotonic() < deadline:
            time.sleep(0.001)
    time.sleep(chance.uniform(0, 0.15))


Told = dict[str, Any]


def killed_now_and_then(
    nursery: Nursery, place: Place, chance: random.Random, roles: dict[str, tuple[str, Told]], victims: list[str]
) -> None:
    """Processes at work side by side, of which some are killed, one at a time, and started anew."""
    with place.opened() as store:
        living = {role: nursery.start(work, place, **told) for role, (work, told) in roles.items()}
        for number in range(KILLS):
            role = chance.choice(victims)
            at_work(place, living[role], chance)
            assert nursery.kill(living.pop(role)) == -9, failures(place)
            if number % LOOKS == 0:
                looked(store)
            work, told = roles[role]
            living[role] = nursery.start(work, place, **told)
        looked(store)
        for pid in living.values():
            assert nursery.kill(pid) == -9, failures(place)
        finished(place, store)


def test_who_pushes_is_killed(nursery: Nursery, place: Place, chance: random.Random) -> None:
    killed_now_and_then(nursery, place, chance, {"till": ("push", {})}, ["till"])


def test_who_loads_anew_is_killed_while_another_pushes(nursery: Nursery, place: Place, chance: random.Random) -> None:
    roles: dict[str, tuple[str, Told]] = {"loader": ("load", {}), "till": ("push", {"pause": 0.02})}
    killed_now_and_then(nursery, place, chance, roles, ["loader"])


def test_two_who_push_and_one_who_loads_are_killed(nursery: Nursery, place: Place, chance: random.Random) -> None:
    roles: dict[str, tuple[str, Told]] = {
        "one": ("push", {"name": "one"}),
        "two": ("push", {"name": "two", "behind": 1.5}),  # so that entities are laid out anew one by one, too
        "loader": ("load", {}),
    }
    killed_now_and_then(nursery, place, chance, roles, list(roles))


def test_who_reads_while_others_push_and_load_anew(nursery: Nursery, place: Place) -> None:
    """Nobody is killed; two push and two load anew, all the time."""
    work = [("push", {"name": "one"}), ("push", {"name": "two", "behind": 0.5}), ("load", {}), ("load", {})]
    with place.opened() as store:
        living = [nursery.start(name, place, **told) for name, told in work]
        until = time.monotonic() + (60 if DEEP else 4)
        while time.monotonic() < until or min(steps(place, pid) for pid in living) < 3:
            looked(store)
        for pid in living:
            assert nursery.kill(pid) == -9, failures(place)
        finished(place, store)


def test_a_worker_is_killed(nursery: Nursery, place: Place, chance: random.Random) -> None:
    """One that reads a folder, to which files are added."""
    folder = Path(place.folder) / "events"
    folder.mkdir()
    with place.opened() as store:
        for number in range(KILLS):
            drop(folder, number, chance)
            pid = nursery.start("stream", place, source="s", folder="events")
            at_work(place, pid, chance, (1,))
            assert nursery.kill(pid) == -9, failures(place)
            if number % LOOKS == 0:
                looked(store)
        assert nursery.wait(nursery.start("stream", place, source="s", folder="events", once=True)) == 0, failures(
            place
        )
        finished(place, store)
        assert store.logs.log("s").position() == 60 * KILLS


def test_a_worker_that_reads_redis_is_killed(
    nursery: Nursery,
    place: Place,
    chance: random.Random,
    redis_server: Server,  # noqa: F811
) -> None:
    redis = pytest.importorskip("redis")
    with place.opened() as store, redis.Redis(port=redis_server.port) as client:
        client.delete(STREAM)
        store.apply(definitions(redis=f"redis://{redis_server.address}"), prune=True)
        store.materialize_incremental()

        def freed() -> None:
            client.delete("gnomon:p:s:reader")  # as if the killed one's lease had run out

        for number in range(KILLS):
            with client.pipeline() as pipe:
                for line in lines(chance, 60):
                    pipe.xadd(STREAM, {"json": line})
                pipe.execute()
            freed()
            pid = nursery.start("stream", place, source="s")
            at_work(place, pid, chance, (1,))
            assert nursery.kill(pid) == -9, failures(place)
            if number % LOOKS == 0:
                looked(store)
        freed()
        assert nursery.wait(nursery.start("stream", place, source="s", once=True)) == 0, failures(place)
        finished(place, store)
        assert store.logs.log("s").position() == 60 * KILLS


def drop(folder: Path, number: int, chance: random.Random) -> None:
    """Put a file into a folder that is read."""
    scratch = folder / f"{number:05}.part"
    scratch.write_text("".join(line + "\n" for line in lines(chance, 60)))
    scratch.rename(folder / f"{number:05}.jsonl")


def lines(chance: random.Random, count: int) -> list[str]:
    """Events as JSON."""
    given = events(chance, time.time_ns() // 1_000, count)
    rows = zip(given["k"], given["n"], given["x"], given["word"], given["at"].to_pylist(), strict=True)
    return [json.dumps({"k": k, "n": n, "x": x, "word": word, "at": at.isoformat()}) for k, n, x, word, at in rows]
