"""What every online store must do with entities of several parts, as tests: a part of `OnlineStoreSuite`.

An entity here has a guard, `h`, which begins with a number that each change counts up, and parts `a` to `c`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, contextmanager

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gnomon.contracts.online import STAMP, Change, OnlineStore, Table
from gnomon.testing.gaps import Suite

__all__ = ["PARTED", "AmendSuite", "counted", "numbers", "parts_put"]

PARTED = Table("project", "ledger@1", suffix=1)
Asking = Generator[list[bytes], list[bytes | None], Mapping[bytes, bytes | None]]

_PARTS = st.dictionaries(st.sampled_from([b"a", b"b", b"c"]), st.none() | st.binary(max_size=4), max_size=3)
_ROUNDS = st.lists(st.dictionaries(st.binary(max_size=2), st.none() | _PARTS, max_size=5), max_size=5)
# Hypothesis keeps the fixture over its examples; each starts by dropping the table.
_examples = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
)


def put(stored: bytes | None, incoming: bytes) -> bytes | None:
    """The incoming value, whatever is stored."""
    return incoming


def counted_up(guard: bytes | None) -> bytes:
    """A guard's next value."""
    return (int.from_bytes((guard or b"")[:STAMP], "big") + 1).to_bytes(STAMP, "big")


def parts_put(entity: bytes, parts: Mapping[bytes, bytes | None] | None) -> Change:
    """Puts and removes parts of an entity, or removes its guard and all its parts."""

    def change() -> Asking:
        (guard,) = yield [entity + b"h"]
        if parts is None:
            return {entity + part: None for part in (b"h", b"a", b"b", b"c")}
        return {entity + b"h": counted_up(guard), **{entity + part: value for part, value in parts.items()}}

    return change


def counted(entity: bytes, more: bytes = b"") -> Change:
    """Counts up an entity's guard, and writes the same number into a part, with some more bytes in both."""

    def change() -> Asking:
        (guard,) = yield [entity + b"h"]
        (part,) = yield [entity + b"a"]
        assert guard == part, "what a change sees was not there at one moment"
        value = counted_up(guard) + (guard or more)[STAMP:]
        return {entity + b"h": value, entity + b"a": value}

    return change


def numbers(store: OnlineStore, table: Table, entities: list[bytes]) -> list[int]:
    """How far entities were counted up, all asked in one read; each guard and its part say the same."""
    (values,) = store.read([(table, [entity + part for entity in entities for part in (b"h", b"a")])])
    guards, parts = values[::2], values[1::2]
    assert guards == parts, "an entity was seen half changed"
    return [int.from_bytes((guard or b"")[:STAMP], "big") for guard in guards]


@contextmanager
def meanwhile(*works: Callable[[], object]) -> Iterator[None]:
    """Run each work in a thread of its own; what one raises is raised when the block has ended."""
    failed: list[BaseException] = []

    def run(work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as wrong:
            failed.append(wrong)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for thread in threads:
            thread.join()
    for wrong in failed:
        raise wrong


class AmendSuite(Suite):
    """`OnlineStore.amend`, test by test."""

    def test_a_change_sees_what_is_stored_and_may_ask_again(self, store: OnlineStore) -> None:
        """What it asks for second may depend on what it was sent first; keys may repeat and be missing."""
        store.write(PARTED, [(b"1h", b"guard"), (b"1a", b""), (b"1b", b"two")], put)
        seen = []

        def change() -> Asking:
            seen.append((yield [b"1h", b"1x", b"1a", b"1h"]))
            seen.append((yield [b"1b"]))
            seen.append((yield []))
            return {}

        store.amend(PARTED, [change])
        assert seen[-3:] == [[b"guard", None, b"", b"guard"], [b"two"], []]

    def test_changes_put_and_remove(self, store: OnlineStore) -> None:
        """Keys that are new, there, or not there to be removed; up to an entity's last."""
        store.amend(PARTED, [parts_put(b"1", {b"a": b"1", b"b": b""}), parts_put(b"2", {b"a": b"x", b"c": None})])
        keys = [b"1a", b"1b", b"1c", b"2a", b"2h"]
        first = counted_up(None)
        assert store.read([(PARTED, keys)]) == [[b"1", b"", None, b"x", first]]
        assert (store.count(PARTED), store.tables("project")) == (5, [PARTED])
        store.amend(PARTED, [parts_put(b"1", {b"a": None, b"b": b"2", b"c": b"3"}), parts_put(b"2", None)])
        assert store.read([(PARTED, keys)]) == [[None, b"2", b"3", None, None]]
        assert store.count(PARTED) == 3
        store.amend(PARTED, [parts_put(b"1", None)])
        assert (store.read([(PARTED, keys)]), store.count(PARTED)) == ([[None] * 5], 0)

    def test_changes_of_nothing_make_no_table(self, store: OnlineStore) -> None:
        """No change, a change that returns nothing, and one that removes what is not there."""

        def nothing() -> Asking:
            yield [b"1h"]
            return {}

        store.amend(PARTED, [])
        store.amend(PARTED, [nothing, parts_put(b"2", None)])
        assert (store.tables("project"), store.count(PARTED)) == ([], 0)
        store.amend(PARTED, [nothing, parts_put(b"2", {b"a": b"1"}), nothing])
        assert (store.tables("project"), store.count(PARTED)) == ([PARTED], 2)

    def test_many_large_and_long_changes_at_once(self, store: OnlineStore) -> None:
        """Thousands of entities, values of 100 kB, keys longer than most stores like them, twice over."""
        entities = [b"%d" % number for number in range(2_000)] + [b"k" * 600, b"k" * 599 + b"l"]
        large = dict.fromkeys(entities[:2_000:100], b"x" * 100_000)
        for more in (b"1", b"2"):
            store.amend(PARTED, [parts_put(one, {b"a": one + more, b"b": large.get(one)}) for one in entities])
            assert store.read([(PARTED, [one + b"a" for one in entities])]) == [[one + more for one in entities]]
            assert store.read([(PARTED, [one + b"b" for one in entities])]) == [list(map(large.get, entities))]
            assert store.count(PARTED) == 2 * len(entities) + len(large)

    @_examples
    @given(_ROUNDS)
    def test_changes_are_a_dict_changed_step_by_step(
        self, store: OnlineStore, rounds: list[dict[bytes, dict[bytes, bytes | None] | None]]
    ) -> None:
        """The same as a dict, round after round, with counts."""
        store.drop(PARTED)
        model: dict[bytes, bytes] = {}
        asked = {entity + part for changes in rounds for entity in changes for part in (b"h", b"a", b"b", b"c")}
        for changes in rounds:
            store.amend(PARTED, [parts_put(*one) for one in changes.items()])
            for entity, parts in changes.items():
                guard = {b"h": counted_up(model.get(entity + b"h"))}
                for part, value in (
                    dict.fromkeys((b"h", b"a", b"b", b"c")) if parts is None else guard | parts
                ).items():
                    model.pop(entity + part, None)
                    if value is not None:
                        model[entity + part] = value
            assert store.read([(PARTED, list(asked))]) == [list(map(model.get, asked))]
            assert store.count(PARTED) == len(model)

    def test_a_change_that_fails_leaves_all_as_it_was(self, store: OnlineStore) -> None:
        """Whether it has a table already or not, and wherever among the changes it is."""

        def bad() -> Asking:
            yield [b"bad-h"]
            yield [b"bad-a"]
            raise ZeroDivisionError

        def tried() -> None:
            with pytest.raises(ZeroDivisionError):
                store.amend(PARTED, [parts_put(b"1", {b"a": b"1"}), bad, parts_put(b"2", {b"a": b"2"})])

        tried()
        assert (store.tables("project"), store.count(PARTED)) == ([], 0)
        store.amend(PARTED, [parts_put(b"1", {b"a": b"0"})])
        tried()
        assert (store.read([(PARTED, [b"1a", b"2a"])]), store.count(PARTED)) == ([[b"0", None]], 2)

    def test_a_change_that_asks_for_nothing_stores_nothing(self, store: OnlineStore) -> None:
        """It has no guard, so nobody could tell whether it was overtaken."""

        def silent() -> Asking:
            return {b"2h": b"x"}
            yield []  # which makes it a generator

        def vague() -> Asking:
            yield []
            return {b"2h": b"x"}

        for change in (silent, vague):
            with pytest.raises(ValueError, match="asks for its guard"):
                store.amend(PARTED, [parts_put(b"1", {b"a": b"1"}), change])
        assert store.count(PARTED) == 0

    def test_a_table_of_parts_is_loaded_written_and_deleted_as_any(self, store: OnlineStore) -> None:
        """By `replace`, `write` and `delete`; `amend` goes on with what they left."""
        entities = [b"%d" % number for number in range(500)]
        value = counted_up(None)
        loaded = [(one + part, value) for one in entities for part in (b"h", b"a")]
        store.write(PARTED, [(b"old-h", value)], put)
        assert store.replace(PARTED, [loaded[:300], loaded[300:]], put) == 1_000
        store.amend(PARTED, [counted(one) for one in entities])
        assert numbers(store, PARTED, entities) == [2] * 500
        assert store.write(PARTED, [(b"7b", b"w"), (b"7c", b"w")], put) == 2
        assert store.delete(PARTED, [b"7h", b"7a", b"7x", b"old-h"]) == 2
        assert store.read([(PARTED, [b"7h", b"7a", b"7b"])]) == [[None, None, b"w"]]
        assert store.count(PARTED) == 1_000
        store.drop(PARTED)
        assert (store.tables("project"), store.count(PARTED)) == ([], 0)

    def test_threads_that_amend_lose_nothing_and_entities_are_seen_whole(self, store: OnlineStore) -> None:
        """Four writers count the same entities up while two readers look."""
        entities, rounds = [b"%d" % number for number in range(20)], 12

        def write() -> None:
            for _ in range(rounds):
                store.amend(PARTED, [counted(entity, bytes(STAMP + 5_000)) for entity in entities])

        def look() -> None:
            seen = [0] * len(entities)
            while sum(seen) < 4 * rounds * len(entities):
                now = numbers(store, PARTED, entities)
                assert all(late >= early for early, late in zip(seen, now, strict=True))
                assert not store.capabilities.atomic_batch or len(set(now)) == 1
                seen = now
                if stop.is_set():
                    break

        stop = threading.Event()
        with meanwhile(look, look):
            try:
                with meanwhile(*[write] * 4):
                    pass
            finally:
                stop.set()
        assert numbers(store, PARTED, entities) == [4 * rounds] * len(entities)
        assert store.count(PARTED) == 2 * len(entities)

    def test_the_last_change_comes_after_all_others(self, store: OnlineStore) -> None:
        """Who reads it first, and the others after that, finds them at least as far."""
        entities, rounds = [b"%d" % number for number in range(200)], 25

        def write() -> None:
            for _ in range(rounds):
                store.amend(PARTED, [counted(entity) for entity in [*entities, b"progress"]])

        with meanwhile(write):
            progress = 0
            while progress < rounds:
                (progress,) = numbers(store, PARTED, [b"progress"])
                assert min(numbers(store, PARTED, entities)) >= progress

    def test_an_amend_that_meets_a_new_generation_is_wholly_in_it_or_not_at_all(self, store: OnlineStore) -> None:
        """While one amends again and again, others are published: in each all entities were counted up as often."""
        entities = [b"%d" % number for number in range(30)]
        stop = threading.Event()

        def write() -> None:
            while not stop.is_set():
                store.amend(PARTED, [counted(entity) for entity in entities])

        with meanwhile(write, write):
            try:
                for generation in range(1, 13):
                    value = bytes(STAMP) + b"%d" % generation
                    loaded = [(entity + part, value) for entity in entities for part in (b"h", b"a")]
                    store.replace(PARTED, [loaded[:30], loaded[30:]], put)
                    numbers(store, PARTED, entities)
            finally:
                stop.set()
        assert len(set(numbers(store, PARTED, entities))) == 1
        assert {(value or b"")[STAMP:] for value in store.read([(PARTED, [one + b"h" for one in entities])])[0]} == {
            b"12"
        }
        assert store.count(PARTED) == 2 * len(entities)

    def test_two_open_stores_amend_the_same_entities(self, make_store: Callable[[], OnlineStore]) -> None:
        """Each goes on from what the other stored."""
        with closing(make_store()) as one, closing(make_store()) as two:
            if not one.capabilities.shared:
                pytest.skip("the store does not promise it")
            for store in (one, two, one):
                store.amend(PARTED, [counted(b"1"), counted(b"2")])
            assert numbers(two, PARTED, [b"1", b"2"]) == [3, 3]
            one.replace(PARTED, [], put)
            two.amend(PARTED, [counted(b"1"), counted(b"2")])
            assert numbers(one, PARTED, [b"1", b"2"]) == [1, 1]
            assert (one.count(PARTED), two.count(PARTED)) == (4, 4)
