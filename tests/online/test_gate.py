"""The gate: many at once, or one alone; and readers of LMDB that do not wait for each other."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

from gnomon.clock import ManualClock
from gnomon.contracts.online import Table
from gnomon.contracts.plugins import Context
from gnomon.online.gate import Gate
from gnomon.online.lmdb import LmdbStore

LONG = 30.0


def test_many_are_inside_and_one_alone_waits_for_them() -> None:
    gate, order = Gate(), list[str]()
    let_go, inside, wants = threading.Event(), threading.Event(), threading.Event()

    def stays() -> None:
        with gate:
            inside.set()
            assert let_go.wait(LONG)
            order.append("leaves")

    def alone() -> None:
        wants.set()
        with gate.alone():
            order.append("alone")

    def comes_later() -> None:
        with gate:
            order.append("later")

    first, second = threading.Thread(target=stays), threading.Thread(target=alone)
    first.start()
    assert inside.wait(LONG)
    with gate:
        order.append("beside")
    second.start()
    assert wants.wait(LONG)
    while not gate._waiting:
        pass
    third = threading.Thread(target=comes_later)
    third.start()
    let_go.set()
    for thread in (first, second, third):
        thread.join(LONG)
    assert order == ["beside", "leaves", "alone", "later"]


def test_one_alone_lets_go_though_it_fails() -> None:
    gate = Gate()
    try:
        with gate.alone():
            raise KeyError
    except KeyError:
        pass
    with gate:
        assert gate._inside == 1
    assert gate._inside == 0


class Held(list[bytes]):
    """Keys, of which nobody gets the second before that is allowed."""

    def __init__(self, keys: list[bytes]) -> None:
        super().__init__(keys)
        self.begun, self.allowed = threading.Event(), threading.Event()

    def __iter__(self) -> Iterator[bytes]:
        for key in super().__iter__():
            yield key
            self.begun.set()
            assert self.allowed.wait(LONG)


def test_a_long_read_of_lmdb_holds_nobody_up_and_the_map_grows_after_it(tmp_path: Path) -> None:
    context = Context(repo_path=tmp_path, project="p", clock=ManualClock())
    store, table = LmdbStore({"path": "o", "map_size": 1 << 16}, context), Table("p", "v@1")

    def put(number: int, size: int) -> None:
        store.write(table, [(b"%d" % number, bytes(size))], lambda old, new: new)

    put(1, 10)
    put(2, 20)
    held, found = Held([b"1", b"2"]), list[list[bytes | None]]()
    reader = threading.Thread(target=lambda: found.extend(store.read([(table, held)])))
    writer = threading.Thread(target=lambda: put(3, 1 << 18))  # which is more than the map has
    reader.start()
    assert held.begun.wait(LONG)
    assert store.read([(table, [b"2"])]) == [[bytes(20)]]
    writer.start()
    held.allowed.set()
    reader.join(LONG)
    writer.join(LONG)
    assert found == [[bytes(10), bytes(20)]]
    assert store.read([(table, [b"3"])]) == [[bytes(1 << 18)]]
    store.close()
