"""Whether the parts behind the server answer: looked at when somebody asks, at most every second, and never for long.

A part that hangs holds one thread, and no request.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

from gnomon.errors import GnomonError

__all__ = ["Readiness"]

EVERY = 1.0
PATIENCE = 2.0
Check = Callable[[], object]


class Readiness:
    """What each part says.

    Args:
        checks: part → a look at it, which raises where it does not answer.
        every: what was found is good for so many seconds.
        patience: a part that takes longer than so many seconds does not answer.
    """

    def __init__(self, checks: Mapping[str, Check], *, every: float = EVERY, patience: float = PATIENCE) -> None:
        self._parts = {name: _Part(name, check) for name, check in checks.items()}
        self._every, self._patience = every, patience

    async def reasons(self) -> dict[str, str]:
        """Part → why it is not ready; empty where all are."""
        told = await asyncio.gather(*(part.reason(self._every, self._patience) for part in self._parts.values()))
        return {name: reason for name, reason in zip(self._parts, told, strict=True) if reason}

    def close(self) -> None:
        """Let the threads go; there are new ones if somebody asks again."""
        for part in self._parts.values():
            part.close()


class _Part:
    """One part, looked at by a thread of its own."""

    def __init__(self, name: str, check: Check) -> None:
        self._name, self._check = name, check
        self._pool: ThreadPoolExecutor | None = None
        self._look: Future[str] | None = None
        self._began = 0.0

    async def reason(self, every: float, patience: float) -> str:
        """Why it is not ready; empty where it is."""
        if self._look is None or (self._look.done() and time.monotonic() - self._began >= every):
            if self._pool is None:
                self._pool = ThreadPoolExecutor(1, thread_name_prefix=f"gnomon-ready-{self._name.replace(' ', '-')}")
            self._look, self._began = self._pool.submit(self._looked), time.monotonic()
        left = self._began + patience - time.monotonic()
        done, _ = await asyncio.wait([asyncio.wrap_future(self._look)], timeout=max(left, 0.0))
        return done.pop().result() if done else f"no answer within {patience:g} seconds."

    def _looked(self) -> str:
        try:
            self._check()
        except GnomonError as wrong:
            return wrong.what
        except Exception as wrong:
            return f"{type(wrong).__name__}: {wrong}"
        return ""

    def close(self) -> None:
        pool, self._pool, self._look = self._pool, None, None
        if pool is not None:
            pool.shutdown(wait=False, cancel_futures=True)
