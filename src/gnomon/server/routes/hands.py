"""Hands: threads that do what takes time, so that the event loop never waits; so many of them, and a queue with an end.

table = await hands.run(store.log_status)
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TypeVar

from gnomon.clock import duration_text
from gnomon.server.problems import HttpError

__all__ = ["Hands"]

T = TypeVar("T")


class Hands:
    """Threads.

    Args:
        timeout: so long a piece of work may take.
        threads: how many work at a time.
        waiting: how many pieces of work may wait for one.
        name: what the threads are called.
    """

    def __init__(self, timeout: timedelta, *, threads: int = 8, waiting: int = 64, name: str = "gnomon-hands") -> None:
        self._timeout, self._threads, self._name = timeout, threads, name
        self._pool: ThreadPoolExecutor | None = None
        self._making = threading.Lock()
        self._room = threading.BoundedSemaphore(threads + waiting)

    async def run(self, work: Callable[[], T]) -> T:
        """Have a piece of work done.

        Who is cancelled, or gives up, leaves its thread to come to an end; what has not begun is not begun.

        Raises:
            HttpError: 503 where too much is waiting, 504 where it took too long.
        """
        if not self._room.acquire(blocking=False):
            raise HttpError(
                503,
                "the server has too much to do.",
                hint="ask again in a while, or start more workers: gnomon serve --workers.",
                headers=(("retry-after", "1"),),
            )
        future = self._begun().submit(work)
        future.add_done_callback(lambda _: self._room.release())
        try:
            async with asyncio.timeout(self._timeout.total_seconds()) as clock:
                return await asyncio.wrap_future(future)
        except TimeoutError:
            if not clock.expired():
                raise
            raise HttpError(
                504,
                f"the answer took longer than {duration_text(self._timeout)}.",
                hint="ask for less at once, or raise `feature_server: timeout` in feature_store.yaml.",
            ) from None

    def spare(self, work: Callable[[], object]) -> None:
        """Have something done some time, and never hear of it: clearing up, when nobody waits any more."""
        self._begun().submit(work)

    def close(self) -> None:
        """Begin nothing that waits, and let the threads go; there are new ones if there is more to do."""
        with self._making:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=False, cancel_futures=True)

    def _begun(self) -> ThreadPoolExecutor:
        with self._making:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix=self._name)
            return self._pool
