"""What every online store must do, as tests: subclass `OnlineStoreSuite` and give it a fixture that makes yours.

    class TestMine(OnlineStoreSuite):
        @pytest.fixture
        def make_store(self, tmp_path):
            return lambda: MyStore({"path": …}, Context(repo_path=tmp_path, …))

Each call of the fixture's value opens a store over the same, at first empty, storage; a store that keeps nothing
outside its process gives a new one each time. Tests of what a store's capabilities deny are skipped;
what else it cannot do is declared as `gaps` (`gnomon.testing.gaps`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gnomon.contracts.online import OnlineStore, Table
from gnomon.testing.amend_suite import AmendSuite, put

__all__ = ["MakeStore", "OnlineStoreSuite", "appended", "greatest", "put"]

MakeStore = Callable[[], OnlineStore]

TABLE, OTHER = Table("project", "view@1"), Table("project", "view@2")
Entries = Sequence[tuple[bytes, bytes]]

_KEYS = st.binary(max_size=3)
_BATCHES = st.lists(st.lists(st.tuples(_KEYS, st.binary(max_size=4)), max_size=8), max_size=5)
# Hypothesis keeps the fixture over its examples; each starts by dropping the table.
_examples = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
)


def greatest(stored: bytes | None, incoming: bytes) -> bytes | None:
    """The greater value; nothing changes where the incoming one is not greater."""
    return incoming if stored is None or incoming > stored else None


def appended(stored: bytes | None, incoming: bytes) -> bytes | None:
    """Both, one after the other: shows the order in which values were merged, and whether one was lost."""
    return (stored or b"") + incoming


class OnlineStoreSuite(AmendSuite):
    """The online store's contract, test by test."""

    @pytest.fixture
    def make_store(self) -> MakeStore:
        """Makes the store under test; authors override it."""
        raise NotImplementedError("give your subclass a fixture `make_store`")

    @pytest.fixture
    def store(self, make_store: MakeStore) -> Iterator[OnlineStore]:
        """One open, empty store."""
        with closing(make_store()) as store:
            yield store

    def test_an_empty_store_has_nothing(self, store: OnlineStore) -> None:
        """A table that was never written is no error."""
        assert store.read([(TABLE, [b"a", b"b"]), (OTHER, [])]) == [[None, None], []]
        assert (store.tables("project"), store.count(TABLE), store.notes(TABLE)) == ([], 0, {})
        assert store.delete(TABLE, [b"a"]) == 0
        store.drop(TABLE)

    def test_values_come_back_in_the_order_asked(self, store: OnlineStore) -> None:
        """Keys may repeat, be missing, and belong to several tables."""
        store.write(TABLE, [(b"b", b"2"), (b"a", b"1")], put)
        store.write(OTHER, [(b"a", b"other")], put)
        asked = [(TABLE, [b"b", b"x", b"a", b"b"]), (OTHER, [b"b", b"a"]), (TABLE, [])]
        assert store.read(asked) == [[b"2", None, b"1", b"2"], [None, b"other"], []]

    def test_keys_and_values_may_be_any_bytes(self, store: OnlineStore) -> None:
        """Empty, with zeros, very long, and long ones that differ in the last byte only."""
        keys = [b"", b"\0", b"\0\0", b"\xff" * 3, b"k" * 505, b"k" * 506, b"k" * 507, b"k" * 5_000, b"k" * 4_999 + b"l"]
        entries = [(key, b"v%d" % place) for place, key in enumerate(keys)] + [
            (b"empty", b""),
            (b"large", b"x" * 100_000),
        ]
        assert store.write(TABLE, entries, put) == len(entries)
        assert store.read([(TABLE, [key for key, _ in entries])]) == [[value for _, value in entries]]
        assert store.count(TABLE) == len(entries)

    def test_an_empty_value_is_there(self, store: OnlineStore) -> None:
        """Empty bytes are not nothing: merge sees them."""
        store.write(TABLE, [(b"a", b"")], put)
        store.write(TABLE, [(b"a", b"x")], lambda stored, incoming: repr(stored).encode())
        assert store.read([(TABLE, [b"a"])]) == [[b"b''"]]

    def test_write_counts_what_changed(self, store: OnlineStore) -> None:
        """A merge that gives None leaves the value, and is not counted."""
        assert store.write(TABLE, [(b"a", b"5"), (b"b", b"5")], greatest) == 2
        assert store.write(TABLE, [(b"a", b"4"), (b"b", b"6"), (b"c", b"1")], greatest) == 2
        assert store.read([(TABLE, [b"a", b"b", b"c"])]) == [[b"5", b"6", b"1"]]
        assert store.write(TABLE, [], greatest) == 0

    def test_merge_may_refuse_a_new_key(self, store: OnlineStore) -> None:
        """None for a key that is not there leaves it so."""
        assert store.write(TABLE, [(b"a", b"1")], lambda stored, incoming: None) == 0
        assert (store.read([(TABLE, [b"a"])]), store.count(TABLE)) == ([[None]], 0)

    def test_a_key_that_stands_twice_is_merged_twice_in_order(self, store: OnlineStore) -> None:
        """Within a batch as between batches, for keys that are there and keys that are not."""
        store.write(TABLE, [(b"a", b"1"), (b"b", b"x"), (b"a", b"2")], appended)
        store.write(TABLE, [(b"a", b"3"), (b"c", b"y"), (b"a", b"4")], appended)
        assert store.read([(TABLE, [b"a", b"b", b"c"])]) == [[b"1234", b"x", b"y"]]

    @_examples
    @given(_BATCHES)
    def test_writes_are_a_dict_merged_step_by_step(self, store: OnlineStore, batches: list[Entries]) -> None:
        """The same as a dict, batch after batch, with counts."""
        store.drop(TABLE)
        model: dict[bytes, bytes] = {}
        for batch in batches:
            before = dict(model)
            for key, value in batch:
                model[key] = appended(model.get(key), value) or b""
            assert store.write(TABLE, batch, appended) == len({key for key, _ in batch})
            assert model.keys() >= before.keys()
        assert store.read([(TABLE, list(model))]) == [list(model.values())]
        assert store.count(TABLE) == len(model)

    @_examples
    @given(_BATCHES, st.lists(_KEYS, max_size=4))
    def test_replace_is_writing_into_an_empty_table(
        self, store: OnlineStore, batches: list[Entries], before: list[bytes]
    ) -> None:
        """What was there before is gone, whatever the order and the splitting of the batches."""
        store.drop(TABLE)
        store.write(TABLE, [(key, b"old") for key in before], put)
        model: dict[bytes, bytes] = {}
        for key, value in (entry for batch in batches for entry in batch):
            model[key] = appended(model.get(key), value) or b""
        assert store.replace(TABLE, iter(batches), appended) == len(model)
        keys = [*model, *(key for key in before if key not in model)]
        assert store.read([(TABLE, keys)]) == [[model.get(key) for key in keys]]
        assert store.count(TABLE) == len(model)

    def test_replace_publishes_in_one_step(self, store: OnlineStore) -> None:
        """Until the last batch is in, readers see the old generation; then the new one, without what others wrote."""
        store.write(TABLE, [(b"a", b"old"), (b"gone", b"old")], put)

        def batches() -> Iterator[Entries]:
            yield [(b"a", b"new")]
            assert store.read([(TABLE, [b"a", b"b", b"gone"])]) == [[b"old", None, b"old"]]
            store.write(TABLE, [(b"meanwhile", b"lost")], put)
            yield [(b"b", b"new")]
            assert store.count(TABLE) == 3

        assert store.replace(TABLE, batches(), put) == 2
        assert store.read([(TABLE, [b"a", b"b", b"gone", b"meanwhile"])]) == [[b"new", b"new", None, None]]

    def test_a_replace_that_fails_leaves_all_as_it_was(self, store: OnlineStore) -> None:
        """The error is the caller's own, and the next replace works."""
        store.write(TABLE, [(b"a", b"old")], put)

        def batches() -> Iterator[Entries]:
            yield [(b"a", b"new")]
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            store.replace(TABLE, batches(), put)
        assert (store.read([(TABLE, [b"a"])]), store.count(TABLE)) == ([[b"old"]], 1)
        assert store.replace(TABLE, [[(b"b", b"1")]], put) == 1
        assert store.read([(TABLE, [b"a", b"b"])]) == [[None, b"1"]]

    def test_replacing_with_nothing_empties_the_table(self, store: OnlineStore) -> None:
        """An empty generation is a published one."""
        store.write(TABLE, [(b"a", b"old")], put)
        assert store.replace(TABLE, [], put) == 0
        assert (store.read([(TABLE, [b"a"])]), store.count(TABLE), store.tables("project")) == ([[None]], 0, [TABLE])

    def test_a_write_that_fails_stores_nothing(self, store: OnlineStore) -> None:
        """A batch is whole or absent."""
        store.write(TABLE, [(b"a", b"old")], put)

        def bad(stored: bytes | None, incoming: bytes) -> bytes | None:
            if incoming == b"bad":
                raise ZeroDivisionError
            return incoming

        with pytest.raises(ZeroDivisionError):
            store.write(TABLE, [(b"a", b"new"), (b"b", b"new"), (b"c", b"bad")], bad)
        assert (store.read([(TABLE, [b"a", b"b", b"c"])]), store.count(TABLE)) == ([[b"old", None, None]], 1)

    def test_delete_counts_what_was_there(self, store: OnlineStore) -> None:
        """Keys that repeat or are not there are not counted."""
        store.write(TABLE, [(b"a", b"1"), (b"b", b"2")], put)
        assert store.delete(TABLE, [b"a", b"x", b"a"]) == 1
        assert (store.read([(TABLE, [b"a", b"b"])]), store.count(TABLE)) == ([[None, b"2"]], 1)

    def test_drop_removes_one_table_whole(self, store: OnlineStore) -> None:
        """Rows and notes go, neighbours stay, and the table can be made anew."""
        for table in (TABLE, OTHER):
            store.write(table, [(b"a", b"1")], put)
            store.note(table, "layout", b"l")
        store.drop(TABLE)
        assert store.read([(TABLE, [b"a"]), (OTHER, [b"a"])]) == [[None], [b"1"]]
        assert (store.notes(TABLE), store.notes(OTHER)) == ({}, {"layout": b"l"})
        assert store.tables("project") == [OTHER]
        store.write(TABLE, [(b"b", b"2")], put)
        assert (store.read([(TABLE, [b"a", b"b"])]), store.count(TABLE)) == ([[None, b"2"]], 1)

    def test_projects_and_names_do_not_run_into_each_other(self, store: OnlineStore) -> None:
        """Names that start alike, or that put together read alike, are different tables."""
        tables = [Table(*names) for names in (("a", "bc"), ("ab", "c"), ("a", "b"), ("a", "bä"), ("aä", "b"))]
        for table in tables:
            store.write(table, [(b"k", repr(table).encode())], put)
            store.note(table, "n", repr(table).encode())
        assert store.read([(table, [b"k"]) for table in tables]) == [[repr(table).encode()] for table in tables]
        assert [store.notes(table) for table in tables] == [{"n": repr(table).encode()} for table in tables]
        assert store.tables("a") == [Table("a", "b"), Table("a", "bc"), Table("a", "bä")]
        assert store.tables("") == []

    def test_notes_outlast_generations(self, store: OnlineStore) -> None:
        """A note is the table's, not a generation's; written again it is replaced."""
        store.note(TABLE, "layout/1", b"one")
        assert store.tables("project") == []
        store.replace(TABLE, [[(b"a", b"1")]], put)
        store.note(TABLE, "layout/2", b"")
        store.note(TABLE, "layout/1", b"uno")
        assert store.notes(TABLE) == {"layout/1": b"uno", "layout/2": b""}
        assert store.notes(OTHER) == {}

    def test_threads_do_not_lose_each_others_merges(self, store: OnlineStore) -> None:
        """Four writers add to the same keys while a reader reads; every addition counts."""
        keys, rounds = [b"a", b"b", b"c"], 25
        failed: list[BaseException] = []

        def add() -> None:
            try:
                for _ in range(rounds):
                    store.write(TABLE, [(key, b"x") for key in keys], appended)
                    values = store.read([(TABLE, keys)])[0]
                    assert not store.capabilities.atomic_batch or len({len(value or b"") for value in values}) == 1
            except BaseException as wrong:
                failed.append(wrong)

        threads = [threading.Thread(target=add) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failed
        assert store.read([(TABLE, keys)]) == [[b"x" * 4 * rounds] * 3]

    def test_a_large_batch_is_seen_whole_or_not_at_all(self, store: OnlineStore) -> None:
        """While batches of thousands are written over one another, a reader never sees two of them mixed."""
        if not (store.capabilities.atomic_batch and store.capabilities.atomic_request):
            pytest.skip("the store does not promise it")
        keys = [b"%05d" % number for number in range(5_000)]
        asked, seen, stop = [keys[0], keys[2_500], keys[-1]], [], threading.Event()

        def read() -> None:
            while not stop.is_set():
                seen.append(store.read([(TABLE, asked)])[0])

        reader = threading.Thread(target=read)
        reader.start()
        for round_ in range(8):
            store.write(TABLE, [(key, b"%d" % round_) for key in keys], put)
        stop.set()
        reader.join()
        assert [values for values in seen if len(set(values)) > 1] == []

    def test_a_read_of_nothing_is_nothing(self, store: OnlineStore) -> None:
        """A question that looks at what comes with the request alone fetches nothing."""
        assert store.read([]) == []

    def test_a_read_over_two_tables_is_one_snapshot(self, store: OnlineStore) -> None:
        """While one table, then the other, is counted up, a reader never sees the second ahead of the first."""
        if not store.capabilities.atomic_request:
            pytest.skip("the store does not promise it")
        stop = threading.Event()

        def count() -> None:
            for number in range(1, 200):
                store.write(TABLE, [(b"n", b"%05d" % number)], put)
                store.write(OTHER, [(b"n", b"%05d" % number)], put)
            stop.set()

        writer = threading.Thread(target=count)
        writer.start()
        torn = []
        while not stop.is_set():
            (second,), (first,) = store.read([(OTHER, [b"n"]), (TABLE, [b"n"])])
            if (first or b"") < (second or b"") or int(first or 0) - int(second or 0) > 1:
                torn.append((first, second))
        writer.join()
        assert torn == []

    def test_values_outlive_the_store_object(self, make_store: MakeStore) -> None:
        """A persistent store finds everything again."""
        with closing(make_store()) as store:
            if not store.capabilities.persistent:
                pytest.skip("the store does not promise it")
            store.write(TABLE, [(b"a", b"1")], put)
            store.note(TABLE, "n", b"v")
        with closing(make_store()) as store:
            assert (store.read([(TABLE, [b"a"])]), store.notes(TABLE)) == ([[b"1"]], {"n": b"v"})
            assert (store.tables("project"), store.count(TABLE)) == ([TABLE], 1)

    def test_two_open_stores_see_each_other(self, make_store: MakeStore) -> None:
        """A shared store's writes are seen by others at once."""
        with closing(make_store()) as one, closing(make_store()) as two:
            if not one.capabilities.shared:
                pytest.skip("the store does not promise it")
            one.write(TABLE, [(b"a", b"1")], appended)
            two.write(TABLE, [(b"a", b"2")], appended)
            assert one.read([(TABLE, [b"a"])]) == [[b"12"]]

    def test_closing_twice_is_fine(self, make_store: MakeStore) -> None:
        """And closing one store leaves another over the same storage usable."""
        one, two = make_store(), make_store()
        one.close()
        one.close()
        assert two.write(TABLE, [(b"a", b"1")], put) == 1
        two.close()
