"""Reading a store that is far away for many requests in one round trip.

While trips are under way, what other requests want gathers; when one is back, all of that goes on the next. So nobody
waits for company, and the busier the server, the fewer commands a request costs.

    rounds = Rounds(store.read)
    found = await rounds.read([(table, [key])])         # as store.read, beside others that do the same
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from gnomon.contracts.online import Asked, Table

__all__ = ["Rounds"]

Found = list[list[bytes | None]]
Waiting = tuple[Sequence[Asked], "asyncio.Future[Found]"]

MOST_KEYS = 20_000
"""A trip takes no more requests along once it has so many keys: a store does nothing else meanwhile."""


class Rounds:
    """Reads for many requests together.

    Args:
        read: the store's `read`; it is called in threads.
        trips: how many may be under way at once; with two, a large one does not hold up all others.
    """

    def __init__(self, read: Callable[[Sequence[Asked]], Found], trips: int = 2) -> None:
        self._read, self._most = read, trips
        self._threads = ThreadPoolExecutor(trips, "gnomon-rounds")
        self._waiting: deque[Waiting] = deque()
        self._under_way = 0

    async def read(self, wanted: Sequence[Asked]) -> Found:
        """What the store has, as its `read` says.

        Raises:
            BackendError: the store cannot be read; the next trip tries anew.
        """
        loop = asyncio.get_running_loop()
        found: asyncio.Future[Found] = loop.create_future()
        self._waiting.append((wanted, found))
        if self._under_way < self._most:
            self._under_way += 1
            loop.call_soon(self._set_off, loop)  # those who ask in this turn of the loop come along
        return await found

    def close(self) -> None:
        """Wait for the trips under way."""
        self._threads.shutdown()

    def _set_off(self, loop: asyncio.AbstractEventLoop) -> None:
        """Take along who waits, but not who has gone meanwhile."""
        aboard: list[Waiting] = []
        keys = 0
        while self._waiting and keys < MOST_KEYS:
            wanted, found = self._waiting.popleft()
            if not found.done():
                aboard.append((wanted, found))
                keys += sum(len(some) for _, some in wanted)
        if not aboard:
            self._under_way -= 1
            return
        trip = loop.run_in_executor(self._threads, self._together, [wanted for wanted, _ in aboard])
        trip.add_done_callback(lambda done: self._back(loop, aboard, done))

    def _back(self, loop: asyncio.AbstractEventLoop, aboard: list[Waiting], done: asyncio.Future[list[Found]]) -> None:
        wrong = done.exception()
        for place, (_, found) in enumerate(aboard):
            if found.done():
                continue
            if wrong is not None:
                found.set_exception(wrong)
            else:
                found.set_result(done.result()[place])
        if self._waiting:
            self._set_off(loop)
        else:
            self._under_way -= 1

    def _together(self, wants: list[Sequence[Asked]]) -> list[Found]:
        """One read for all; each one's share, in the order it asked."""
        if len(wants) == 1:
            return [self._read(wants[0])]
        keys: dict[Table, list[bytes]] = {}
        for wanted in wants:
            for table, some in wanted:
                keys.setdefault(table, []).extend(some)
        values = dict(zip(keys, self._read(list(keys.items())), strict=True))
        taken = dict.fromkeys(keys, 0)
        shares: list[Found] = []
        for wanted in wants:
            share: Found = []
            for table, some in wanted:
                start = taken[table]
                taken[table] = start + len(some)
                share.append(values[table][start : start + len(some)])
            shares.append(share)
        return shares
