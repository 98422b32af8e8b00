"""A process killed at any instant of appending, sealing, merging, trimming or erasing leaves a log that is whole.

Some kills of each a run; 300 of each with `HYPOTHESIS_PROFILE=deep`. `pytest -rP` shows how many landed inside.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime, timezone
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from victims import BATCH, ERASED, USERS, Victims, batch, opened, store_in

from gnomon.contracts.log import KNOWN, POSITION

DEEP = os.environ.get("HYPOTHESIS_PROFILE") == "deep"
KILLS = 300 if DEEP else 6
KILLS_A_FOLDER = 15


@pytest.fixture(scope="module")
def victims() -> Iterator[Victims]:
    with Victims() as victims:
        yield victims


def check_all_there(numbers: list[int], begins: int, end: int) -> None:
    assert numbers == list(range(1, end + 1))


def check_only_old_ones_gone(numbers: list[int], begins: int, end: int) -> None:
    assert numbers == list(range(begins, end + 1))
    assert begins <= max(end - 20, 1)


def check_only_the_entitys_gone(numbers: list[int], begins: int, end: int) -> None:
    assert [one for one in numbers if one % USERS != ERASED] == [
        one for one in range(1, end + 1) if one % USERS != ERASED
    ]
    assert numbers == sorted({*numbers})


Check = Callable[[list[int], int, int], None]
WORKS: dict[str, tuple[Check, float]] = {
    "append": (check_all_there, 0.012),
    "seal": (check_all_there, 0.03),
    "merge": (check_all_there, 0.05),
    "trim": (check_only_old_ones_gone, 0.04),
    "erase": (check_only_the_entitys_gone, 0.05),
}
"""What may be missing afterwards, and how long a piece of the work takes, in seconds, where the disk is slow."""


@pytest.mark.slow
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("work", WORKS)
def test_whenever_it_is_killed_the_log_is_whole(
    victims: Victims, tmp_path: Path, work: str, request: pytest.FixtureRequest
) -> None:
    chance, landed = random.Random(work), Counter[str]()
    check, seconds = WORKS[work]
    for number in range(KILLS):
        folder = tmp_path / f"{number // KILLS_A_FOLDER}"
        folder.mkdir(exist_ok=True)
        ended = victims.run(work, folder, chance.randrange(1, 4), seconds * 10 ** chance.uniform(-2, 0))
        landed["inside" if ended.inside else "between"] += 1
        with closing(opened(folder)) as log:
            found = log.read().read_all()
            position, offset, begins = log.position(), log.offsets().get("p", -1), log.status("at").begins
            assert position == BATCH * (offset + 1)
            assert offset in (ended.last, ended.last + 1) or ended.last == -1
            numbers = found["number"].to_pylist() if len(found) else []
            check(numbers, begins, position)
            assert [*found[POSITION].to_pylist()] == numbers
            assert [*found[KNOWN].cast("int64").to_pylist()] == numbers
            prefix = log.prefix()
            rows = [row for path in prefix.files for row in pq.read_table(path)["number"].to_pylist()]
            assert rows + (prefix.tail["number"].to_pylist() if prefix.tail else []) == numbers
            log.erase({"user": ERASED}) if work == "erase" else None
        if work == "erase":
            left = [row for path in folder.rglob("*.parquet") for row in pq.read_table(path)["user"].to_pylist()]
            assert ERASED not in left
    print(f"{work}: {dict(landed)} of {landed.total()} kills")
    assert landed["inside"] >= (KILLS // 6 if DEEP else 0)


def counted(folder: Path) -> list[tuple[int, int]]:
    """(events, sum of their numbers) of every user, as training sees them."""
    with store_in(folder) as store:
        rows = {"user": list(range(USERS)), "event_timestamp": [datetime(2024, 1, 1, tzinfo=timezone.utc)] * USERS}
        made = store.get_historical_features(rows, ["v:count_lifetime", "v:number_sum_lifetime"]).to_arrow()
        return list(zip(made["count_lifetime"].to_pylist(), made["number_sum_lifetime"].to_pylist(), strict=True))


def once(end: int, without: int | None = None) -> list[tuple[int, int | None]]:
    """What training sees where each event up to a position is there exactly once."""
    numbers = {user: [one for one in range(1, end + 1) if one % USERS == user != without] for user in range(USERS)}
    return [(len(own), sum(own) if own else None) for own in numbers.values()]


@pytest.mark.slow
@pytest.mark.timeout(3_600)
def test_whenever_pushing_is_killed_each_event_is_there_exactly_once(victims: Victims, tmp_path: Path) -> None:
    """The producer knows only what was acknowledged, and sends again from there on."""
    chance, landed, acknowledged, known = random.Random("push"), Counter[str](), -1, -1
    for number in range(KILLS):
        if number % KILLS_A_FOLDER == 0:
            folder, acknowledged = tmp_path / f"{number}", -1
            folder.mkdir()
            store_in(folder).close()
        ended = victims.run(
            "push", folder, chance.randrange(1, 20), chance.uniform(0, 0.02), start=max(acknowledged, 0)
        )
        landed["inside" if ended.inside else "between"] += 1
        acknowledged = max(acknowledged, ended.last)
        with closing(opened(folder)) as log:
            known = log.offsets().get("p", -1)
        assert known in (acknowledged, acknowledged + 1)
        if number % 5 == 0 or number == KILLS - 1:
            assert counted(folder) == once(BATCH * (known + 1))
    print(f"push: {dict(landed)} of {landed.total()} kills")


@pytest.mark.slow
@pytest.mark.timeout(3_600)
def test_whenever_erasing_is_killed_erasing_again_completes_it(victims: Victims, tmp_path: Path) -> None:
    chance, landed = random.Random("erase from store"), Counter[str]()
    for number in range(KILLS):
        folder = tmp_path / f"{number // KILLS_A_FOLDER}"
        if not folder.exists():
            folder.mkdir()
            store_in(folder).close()
        ended = victims.run("erase_from_store", folder, chance.randrange(1, 4), chance.uniform(0, 0.5))
        landed["inside" if ended.inside else "between"] += 1
        with store_in(folder) as store:
            before = store.erasures()
            unfinished = [one for one in before if one.done is None]
            assert len(unfinished) <= 1
            report = store.erase({"user": ERASED})
            after = store.erasures()
            assert all(one.done is not None for one in after)
            assert len(after) == len(before) + (not unfinished)
            assert not unfinished or report.id == unfinished[0].id
            end = store.logs.log("s").position()
        assert counted(folder) == once(end, without=ERASED)
        left = [row for path in folder.rglob("*.parquet") for row in pq.read_table(path)["user"].to_pylist()]
        assert ERASED not in left
    print(f"erase from the store: {dict(landed)} of {landed.total()} kills")


def test_a_batch_is_what_its_positions_say() -> None:
    assert batch(2)["number"].to_pylist() == [7, 8, 9]
