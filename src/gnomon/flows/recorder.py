"""The recorder: answers that are drawn to be logged wait in a bounded queue, and a thread writes them.

    if recorder.wants("fraud_v1", request_id):              # before reading: then read with known_through=True
        recorder.keep(response, "fraud_v1", Ids(request_id))    # after: never waits; a full queue drops rows and counts

A process that forks has its child begin with an empty queue; one that ends, however but by being killed, writes first.
"""

from __future__ import annotations

import atexit
import os
import random
import threading
import time
import uuid
import warnings
import weakref
from collections.abc import Callable, Mapping, Sequence
from zlib import crc32

import pyarrow as pa

from gnomon.contracts.log import Logs
from gnomon.contracts.registry import Snapshot
from gnomon.errors import BackendError, ConflictError, GnomonError
from gnomon.flows.loaded import Loads
from gnomon.flows.responses import OnlineResponse
from gnomon.flows.served_queue import Queue, Recording, ServedStats, Waiting
from gnomon.flows.served_rows import Ids, Kept, RequestIds, Shape, row_columns
from gnomon.flows.weights import Weights

__all__ = ["Ids", "Recorder", "Recording", "ServedStats", "new_id"]

ALL = 1 << 32
MOST_SHAPES = 1_000
BREATH = 0.00005
"""After each column requests get a turn, for so many seconds: Python takes turns every 5 ms only, unless one sleeps."""
RETRY = 0.05
"""Closing tries again after so many seconds."""


class Recorder:
    """Writes served rows. Every method may be called from any thread.

    Args:
        opened: opens the logs of served rows.
        loads: gives the loads of the project's views.
        recording: how much may wait, and for how long.
    """

    def __init__(
        self, opened: Callable[[], Logs], loads: Callable[[], Loads], recording: Recording | None = None
    ) -> None:
        self._recording = Recording() if recording is None else recording
        self._opened, self._loads = opened, loads
        self._snapshot: Snapshot | None = None
        self._version = 0
        self._limits: Mapping[str, int] = {}
        self._weights = Weights()
        self._thread: threading.Thread | None = None
        self._logs: Logs | None = None
        self._begin()
        _recorders.add(self)

    def following(self, snapshot: Snapshot) -> Recorder:
        """Go by these definitions from now on: they say which services are logged."""
        if snapshot is not self._snapshot:
            services = snapshot.catalog.services.items()
            self._limits = {
                name: round(one.logging_config.sample_rate * ALL) for name, one in services if one.logging_config
            }
            self._snapshot, self._version = snapshot, snapshot.version
        return self

    def wants(self, service: str, request_id: str | None = None) -> bool:
        """Whether the answer to a request is to be kept. The same id is answered alike, in every process.

        Args:
            service: the name of the service that is asked for.
            request_id: the request's id; without one, it is drawn at random.
        """
        limit = self._limits.get(service)
        if limit is None:
            return False
        return limit >= ALL or (random.getrandbits(32) if request_id is None else _number(request_id)) < limit

    def keep(self, response: OnlineResponse, service: str, ids: RequestIds) -> None:
        """Have an answer logged; where the queue is full, its rows are dropped, and counted. It never waits.

        Args:
            response: read with `known_through=True`.
            service: the service's name.
            ids: what the request goes by.
        """
        response.request_id = ids.request
        kept = Kept(response, ids, self._version)
        self._queue.put(Waiting(service, kept, len(response), self._weights.of(response)), self._started)

    def stats(self) -> dict[str, ServedStats]:
        """What became of the rows that were drawn to be logged, by service."""
        return self._queue.stats()

    def flush(self) -> None:
        """Write all that waits.

        Raises:
            BackendError: the log cannot be written; what waits goes on waiting.
            ConflictError: somebody else keeps the log for too long; the same.
        """
        with self._writing:
            while some := self._queue.take():
                self._write(some)

    def close(self) -> None:
        """Write all that waits, and end the thread; what cannot be written is lost, counted, and warned of."""
        with self._queue.changed:
            thread, self._thread = self._thread, None
            self._queue.changed.notify_all()
        if thread is not None:
            thread.join()
        self._write_last()
        with self._writing:
            if self._logs is not None:
                self._logs.close()
            self._logs = None

    def _begin(self) -> None:
        """Be as new, with nothing that another process may hold."""
        self._queue, self._writing = Queue(self._recording), threading.Lock()
        self._shapes: dict[int, tuple[object, Shape]] = {}
        self._thread = self._logs = None

    def _started(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="gnomon-served-rows", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        """The thread: wait for rows, then a while for more, then write them."""
        me, queue, interval = threading.current_thread(), self._queue, self._recording.flush_interval

        def ended() -> bool:
            return self._thread is not me

        while not ended():
            with queue.changed:
                queue.changed.wait_for(lambda: ended() or not queue.is_empty())
                queue.changed.wait_for(lambda: ended() or queue.is_batch(), interval)
            try:
                with self._writing:  # one batch, not all there is: else small ones would follow, a sync for each
                    self._write(queue.take())
            except GnomonError:  # the counts say it
                with queue.changed:
                    queue.changed.wait_for(ended, interval)

    def _write(self, taken: Sequence[Waiting]) -> None:
        """Write answers, a batch for each log; where one cannot be written now, it and those after it wait again."""
        loads, left = self._loads(), self._by_log(taken)
        while left:
            shape, some = left.pop(0)
            try:
                self._append(shape, some, loads)
                self._queue.done(some)
            except (BackendError, ConflictError) as wrong:
                self._queue.again([*some, *(one for _, others in left for one in others)], str(wrong))
                raise
            except Exception as wrong:  # what makes no row must not keep all that comes after it waiting for ever
                if len(some) > 1:
                    left[:0] = [(shape, [one]) for one in some]
                else:
                    self._queue.done(some, failed=f"an answer makes no row: {wrong!r}")

    def _by_log(self, taken: Sequence[Waiting]) -> list[tuple[Shape, list[Waiting]]]:
        found: dict[str, tuple[Shape, list[Waiting]]] = {}
        for one in taken:
            try:
                shape = self._shape(one)
            except Exception as wrong:  # as below
                self._queue.done([one], failed=f"an answer makes no row: {wrong!r}")
                continue
            found.setdefault(shape.log, (shape, []))[1].append(one)
        return list(found.values())

    def _shape(self, one: Waiting) -> Shape:
        """Worked out once for all answers to a question."""
        order = one.kept.response._order
        if (found := self._shapes.get(id(order))) is None:
            if len(self._shapes) >= MOST_SHAPES:
                self._shapes.clear()
            found = self._shapes[id(order)] = order, Shape.of(one.service, one.kept.response)
        return found[1]

    def _append(self, shape: Shape, some: Sequence[Waiting], loads: Loads) -> None:
        if self._logs is None:
            self._logs = self._opened()
        columns = []
        for column in row_columns(shape, [one.kept for one in some], loads.through):
            columns.append(column)
            time.sleep(BREATH)
        self._logs.log(shape.log).append(pa.Table.from_arrays(columns, schema=shape.schema))

    def _write_last(self) -> None:
        until = time.monotonic() + self._recording.close_wait
        while True:
            try:
                return self.flush()
            except GnomonError as wrong:
                if time.monotonic() < until:
                    time.sleep(RETRY)
                    continue
                lost = self._queue.take(all_of_it=True)
                self._queue.done(lost, failed=str(wrong))
                rows = sum(one.rows for one in lost)
                return warnings.warn(f"{rows} served rows could not be written and are lost: {wrong}", stacklevel=3)


def new_id(at: int) -> str:
    """An id for a request of an instant (µs): a UUID of version 7, so that later ones sort later.

    >>> new_id(1_704_110_400_000_000)[:15]
    '018cc4e5-2200-7'
    """
    bits, stamp = random.getrandbits(74), (at // 1_000 & (1 << 48) - 1) << 80
    return str(uuid.UUID(int=stamp | 7 << 76 | (bits >> 62) << 64 | 2 << 62 | bits & (1 << 62) - 1))


def _number(request_id: str) -> int:
    """A number below 2³² that an id always gives; ids that are much alike give numbers that are not."""
    mixed = crc32(request_id.encode("utf-8", "surrogatepass")) * 0x9E3779B97F4A7C15 & (1 << 64) - 1
    return mixed >> 32 ^ mixed & ALL - 1


_recorders: weakref.WeakSet[Recorder] = weakref.WeakSet()
_held: list[tuple[threading.Lock, threading.Condition]] = []


def _before_fork() -> None:
    """Wait until nobody is within a write: a child born in it would have the lock on the log for ever."""
    for one in list(_recorders):
        one._writing.acquire()
        one._queue.changed.acquire()
        _held.append((one._writing, one._queue.changed))


def _after_in_parent() -> None:
    while _held:
        writing, changed = _held.pop()
        changed.release()
        writing.release()


def _after_in_child() -> None:
    """What waited is the parent's to write."""
    _held.clear()
    for one in list(_recorders):
        if one._logs is not None:
            one._logs.close()  # the child's own copies of what is open; nobody was writing
        one._begin()


def _at_exit() -> None:
    for one in list(_recorders):
        one.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
atexit.register(_at_exit)
