"""Many requests that share trips to a store: each gets its own, and an error ends with its trip."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.contracts.online import Asked, Table
from gnomon.errors import BackendError
from gnomon.online.memory import MemoryStore
from gnomon.server.hot.rounds import Rounds

TABLES = [Table("shop", name) for name in ("a@1", "b@1", "c@1")]
KEYS = [bytes([number]) for number in range(20)]


def filled() -> MemoryStore:
    store = MemoryStore()
    for table in TABLES[:2]:
        store.write(table, [(key, table.name.encode() + key) for key in KEYS[::2]], merge=lambda stored, new: new)
    return store


class Gate:
    """Lets reads through when it is open, and counts them."""

    def __init__(self, store: MemoryStore) -> None:
        self.store, self.open, self.trips = store, threading.Event(), 0
        self.broken = False

    def read(self, asked: Sequence[Asked]) -> list[list[bytes | None]]:
        assert self.open.wait(60)
        self.trips += 1
        if self.broken:
            raise BackendError("gone.")
        return self.store.read(asked)


wants = st.lists(st.tuples(st.sampled_from(TABLES), st.lists(st.sampled_from(KEYS), max_size=5)), max_size=3)


@given(st.lists(wants, max_size=20), st.integers(1, 3))
def test_each_gets_what_it_would_have_got_alone(asked: list[list[tuple[Table, list[bytes]]]], trips: int) -> None:
    store = filled()

    async def together() -> list[list[list[bytes | None]]]:
        rounds = Rounds(store.read, trips)
        try:
            return await asyncio.gather(*(rounds.read(one) for one in asked))
        finally:
            rounds.close()

    assert asyncio.run(together()) == [store.read(one) for one in asked]


def test_what_gathers_while_a_trip_is_under_way_goes_on_the_next() -> None:
    gate = Gate(filled())

    async def run() -> None:
        rounds = Rounds(gate.read, 1)
        first = asyncio.create_task(rounds.read([(TABLES[0], KEYS[:1])]))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        others = [asyncio.create_task(rounds.read([(TABLES[0], [key])])) for key in KEYS]
        await asyncio.sleep(0)
        others[0].cancel()
        gate.open.set()
        assert await first == [[b"a@1\x00"]]
        found = await asyncio.gather(*others, return_exceptions=True)
        assert isinstance(found[0], asyncio.CancelledError)
        assert found[1:4] == [[[None]], [[b"a@1\x02"]], [[None]]]
        rounds.close()

    asyncio.run(run())
    assert gate.trips == 2


def test_an_error_ends_its_trip_and_the_next_one_sets_off() -> None:
    gate = Gate(filled())
    gate.open.set()

    async def run() -> None:
        rounds = Rounds(gate.read)
        gate.broken = True
        found = await asyncio.gather(*(rounds.read([(TABLES[0], KEYS)]) for _ in range(5)), return_exceptions=True)
        assert [type(one) for one in found] == [BackendError] * 5
        gate.broken = False
        assert (await rounds.read([(TABLES[1], KEYS[:1])])) == [[b"b@1\x00"]]
        rounds.close()

    asyncio.run(run())


@pytest.mark.parametrize("trips", [1, 2])
def test_a_trip_takes_only_so_many_keys(trips: int) -> None:
    gate = Gate(filled())
    gate.open.set()

    async def run() -> None:
        rounds = Rounds(gate.read, trips)
        many = [(TABLES[0], KEYS * 500)]
        found = await asyncio.gather(*(rounds.read(many) for _ in range(6)))
        assert all(one == gate.store.read(many) for one in found)
        rounds.close()

    asyncio.run(run())
    assert gate.trips == 3
