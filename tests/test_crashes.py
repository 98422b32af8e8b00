"""A process killed at any instant of `apply` and `materialize` leaves the old or the new, and a rerun completes.

Whole flows, on every online store that lasts and both registries. Some tens of kills a run; some hundreds with
`HYPOTHESIS_PROFILE=deep`. `pytest -rP` shows where they landed.
"""

from __future__ import annotations

import os
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from crashes import APPLYING, BORN, CLOSED, LOADED, LOADING, Ended, Kill, Nursery
from ledgers import KEYS, ROUNDS, WIDENED, Place, end_of, extras_of, land, rows_of, view_of
from loaders import rows_stored
from postgres_server import PostgresServer, postgres  # noqa: F401  (a fixture)
from redis_server import Server, redis_server  # noqa: F401  (a fixture)

from gnomon import FeatureStore
from gnomon.definitions.codec import fingerprint
from gnomon.errors import BackendError

DEEP = os.environ.get("HYPOTHESIS_PROFILE") == "deep"
KILLS_A_ROUND = 2
WORLDS = 14 if DEEP else 1

Make = Callable[[Path], Place]


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as nursery:
        yield nursery


@pytest.fixture(params=["sqlite", "postgres"])
def registry(request: pytest.FixtureRequest) -> Callable[[], dict[str, str]]:
    """Gives the options of a registry, empty each time."""
    if request.param == "sqlite":
        return dict
    server: PostgresServer = request.getfixturevalue("postgres")
    return lambda: {"path": server.url()}


@pytest.fixture(params=["lmdb", "sqlite", "redis"])
def make(request: pytest.FixtureRequest, registry: Callable[[], dict[str, str]]) -> Make:
    """Gives a project's place in a folder, nothing in it yet."""
    options: dict[str, str] = {}
    if request.param == "redis":
        redis = pytest.importorskip("redis")
        server: Server = request.getfixturevalue("redis_server")
        options = {"connection_string": server.address}

    def made(folder: Path) -> Place:
        (folder / "spill").mkdir(parents=True)
        if request.param == "redis":
            with redis.Redis(port=server.port) as client:
                client.flushall()
        return Place(folder=str(folder), online=request.param, online_options=options, registry_options=registry())

    return made


@pytest.mark.slow
@pytest.mark.timeout(3_600)
def test_whenever_it_is_killed_the_old_or_the_new_is_there_and_a_rerun_completes(
    make: Make, nursery: Nursery, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    chance = random.Random(request.node.name)
    spans = unkilled(nursery, make(tmp_path / "unkilled"))
    landed: Counter[str] = Counter()
    for world in range(WORLDS):
        place = make(tmp_path / f"world-{world}")
        for number in range(1, ROUNDS + 1):
            land(place, number)
            watch = Watch(place, number)
            for _ in range(KILLS_A_ROUND):
                ended = nursery.run(place, number, drawn(chance, spans[number]), watch)
                landed[ended.when] += 1
                watch.check(ended)
            finish(nursery, place, number)
    print(f"{request.node.name}: {dict(landed)} of {landed.total()} kills")
    assert landed["apply"] + landed["load"] >= WORLDS


DAMAGES = {
    "an older copy": lambda data, older: shutil.copy(older, data),
    "half of it": lambda data, _: os.truncate(data, data.stat().st_size // 2),
    "all but the first two pages": lambda data, _: data.write_bytes(data.read_bytes()[: 2 * 4096]),
    "pages that were never written": lambda data, _: data.write_bytes(
        data.read_bytes()[: 4 * 4096] + bytes(data.stat().st_size - 4 * 4096)
    ),
    "nothing": lambda data, _: os.truncate(data, 0),
    "all of it": lambda *_: None,
}
"""What of an LMDB file may have reached the disk when the power goes in the middle of a batch."""


@pytest.mark.parametrize("damage", DAMAGES)
def test_after_a_loss_of_power_the_store_is_refused_and_what_the_error_says_mends_it(
    tmp_path: Path, damage: str
) -> None:
    place = Place(folder=str(tmp_path), online="lmdb", online_options={}, registry_options={})
    online, older = tmp_path / ".gnomon" / "online.lmdb", tmp_path / "older"
    for number in (1, 2):
        land(place, number)
        with place.opened(number) as store:
            store.apply([view_of(number)])
            store.materialize_incremental()
        if number == 1:
            shutil.copy(online / "data.mdb", older)
    DAMAGES[damage](online / "data.mdb", older)
    # As a writer leaves it that has no time to say that its batch is on disk.
    (online / "writer-4711-abcd").write_text("the boot before this one".ljust(64))
    asked = ["account:balance", "account:word"], {"user_id": list(range(KEYS))}
    with place.opened(2) as store:
        for use in (lambda: store.get_online_features(*asked), store.materialize_incremental):
            with pytest.raises(BackendError, match="the machine went down while a batch was being written") as refused:
                use()
            assert refused.value.hint == (
                f"delete the folder {online} and load it again: gnomon materialize --replace."
            )
    shutil.rmtree(online)
    with place.opened(2) as store:
        store.materialize(None, end_of(2), replace=True)
        answer = store.get_online_features(*asked).to_dict(include_event_timestamps=True)
        assert list(zip(answer["balance__ts"], answer["balance"], answer["word"], strict=True)) == rows_of(2)


def unkilled(nursery: Nursery, place: Place) -> dict[int, dict[str, float]]:
    """When each round comes how far if nobody is killed."""
    marks = {}
    for number in range(1, ROUNDS + 1):
        land(place, number)
        marks[number] = nursery.run(place, number, meanwhile=Watch(place, number)).marks
    return marks


def drawn(chance: random.Random, marks: dict[str, float]) -> Kill:
    """An instant at which to kill: of the whole, of applying or of loading, each of its instants as likely as another.

    The two are drawn from by themselves, too, since what an earlier kill left to be done is not the same again.
    """
    begin, end = chance.choice([(BORN, CLOSED), (APPLYING, LOADING), (LOADING, LOADED)])
    return begin, chance.uniform(0, marks[end] - marks[begin])


class Watch:
    """Looks at a project while a round is under way, as a service beside it would: no row is torn or goes back."""

    def __init__(self, place: Place, number: int) -> None:
        self._place, self._number = place, number
        self._version = number - 1
        self._new = [False] * KEYS
        self._store: FeatureStore | None = None

    def __call__(self) -> None:
        """Look once."""
        self._store = self._store or self._place.opened(self._number)
        self._store.refresh_registry()
        self._look(self._store)

    def check(self, ended: Ended) -> None:
        """Look with nothing under way any more, and nothing remembered from before."""
        if self._store:
            self._store.close()
            self._store = None
        with self._place.opened(self._number) as store:
            self._look(store)
            version = store.snapshot().version
            assert len(store.history()) == version
            assert not version or store.get_feature_view("account") == view_of(version)
            assert LOADING not in ended.marks or version == self._number

    def _look(self, store: FeatureStore) -> None:
        version = store.snapshot().version
        assert version in (self._version, self._number)
        self._version = version
        if not version:
            return
        answer = store.get_online_features(["account:balance", "account:word"], {"user_id": list(range(KEYS))}).to_dict(
            include_event_timestamps=True
        )
        found = list(zip(answer["balance__ts"], answer["balance"], answer["word"], strict=True))
        old, new = rows_of(self._number - 1), rows_of(self._number)
        assert all(row in (old[key], new[key]) for key, row in enumerate(found))
        is_new = [row == new[key] for key, row in enumerate(found)]
        assert all(now or not before for before, now in zip(self._new, is_new, strict=True))
        self._new = is_new
        if self._number == WIDENED:  # a load anew: all at once
            assert len({one for key, one in enumerate(is_new) if old[key] != new[key]}) == 1


def finish(nursery: Nursery, place: Place, number: int) -> None:
    """Run the round again to its end: all of it is there, and nothing else."""
    assert nursery.run(place, number).when == "after"
    view = view_of(number)
    with place.opened(number) as store:
        assert [commit.version for commit in store.history()] == list(range(number, 0, -1))
        assert store.get_feature_view("account") == view
        answer = store.get_online_features(
            [f"account:{name}" for name in view.feature_names], {"user_id": list(range(KEYS))}
        ).to_dict(include_event_timestamps=True)
        found = list(zip(answer["balance__ts"], answer["balance"], answer["word"], strict=True))
        assert found == rows_of(number)
        if number >= WIDENED:
            assert answer["extra"] == extras_of(number)
        last = store.materializations()[0]
        assert (last.fingerprint, len(last.files)) == (fingerprint(view), number)
    if number >= WIDENED:  # a load anew removes what a killed one left
        assert rows_stored(place.online, Path(place.folder), place.online_options) == KEYS
    assert files_left(Path(place.folder)) <= {"data.mdb", "lock.mdb", "online.db", "registry.db"}


def files_left(folder: Path) -> set[str]:
    """What lies in a repo besides its sources; folders too, where they should not be there."""
    kept = [one for part in (".gnomon", "spill") for one in (folder / part).rglob("*") if one.name != "online.lmdb"]
    return {one.name for one in kept}
