import os
import shutil
import sqlite3
import threading
from contextlib import closing

import pytest
from loaders import (
    SQLITE,
    TABLE,
    check_amend_race,
    check_full_disk,
    check_killed_amends,
    check_killed_replace,
    check_kills,
    check_race,
    check_replaces_side_by_side,
    check_taken_for_dead,
    started,
)

from gnomon.clock import ManualClock
from gnomon.contracts.online import Table
from gnomon.contracts.plugins import Context
from gnomon.errors import BackendError, ConfigError, NewerFormat
from gnomon.online import sqlite
from gnomon.online.sqlite import SqliteStore
from gnomon.testing.conformance import OnlineStoreSuite, put


class TestSqlite(OnlineStoreSuite):
    @pytest.fixture
    def make_store(self, tmp_path):
        return lambda: SqliteStore({"path": str(tmp_path / "online.db")})


@pytest.fixture
def path(tmp_path):
    return tmp_path / "online.db"


@pytest.fixture
def store(path):
    with closing(SqliteStore({"path": str(path)})) as store:
        yield store


def asked(path, sql):
    with closing(sqlite3.connect(path)) as db:
        return db.execute(sql).fetchone()[0]


def test_the_default_file_is_in_the_repo(tmp_path):
    context = Context(repo_path=tmp_path, project="p", clock=ManualClock())
    with closing(SqliteStore({}, context)) as store:
        store.write(TABLE, [(b"a", b"1")], put)
    assert (tmp_path / ".gnomon" / "online.db").is_file()


def test_bad_options_are_refused(tmp_path):
    for path in (None, "", 7, ":memory:"):
        with pytest.raises(ConfigError, match="path"):
            SqliteStore({"path": path})
    with pytest.raises(ConfigError, match="did you mean 'path'"):
        SqliteStore({"pth": "x"})


def test_closing_folds_the_log_into_the_file(path, store):
    store.write(TABLE, [(b"a", b"1")], put)
    store.close()
    assert [one.name for one in path.parent.iterdir()] == [path.name]
    with pytest.raises(BackendError, match="closed"):
        store.read([(TABLE, [b"a"])])


def test_a_batch_is_synced_before_write_returns(path, store):
    store.write(TABLE, [(b"a", b"1")], put)
    db = store._file.borrow()
    try:
        assert db.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL: the log is synced with every commit
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    finally:
        store._file.give_back(db)


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BackendError, match="file"):
        SqliteStore({"path": str(tmp_path / "file" / "online.db")})


def test_a_folder_in_place_of_the_file_is_an_error(path):
    path.mkdir()
    with pytest.raises(BackendError, match="SQLite failed"):
        SqliteStore({"path": str(path)})


def test_a_file_that_is_none_of_sqlites_is_an_error(path):
    path.write_bytes(b"something else" * 1000)
    with pytest.raises(BackendError, match="materialize --replace"):
        SqliteStore({"path": str(path)})


def test_another_programs_file_is_left_alone(path):
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE theirs (a)")
        db.commit()
    with pytest.raises(BackendError, match="another program"):
        SqliteStore({"path": str(path)})
    assert asked(path, "SELECT count(*) FROM sqlite_master") == 1


def test_a_newer_format_is_told_apart(path):
    SqliteStore({"path": str(path)}).close()
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 2")
    with pytest.raises(NewerFormat, match="format 2"):
        SqliteStore({"path": str(path)})


def test_a_file_that_is_cut_off_is_found_on_opening(path):
    with closing(SqliteStore({"path": str(path)})) as store:
        store.write(TABLE, [(b"%d" % n, b"x" * 1000) for n in range(1000)], put)
    os.truncate(path, 100 * 4096)
    with pytest.raises(BackendError, match="materialize --replace"):
        SqliteStore({"path": str(path)})


def test_a_file_with_broken_pages_is_an_error(path):
    keys = [b"%d" % n for n in range(1000)]
    with closing(SqliteStore({"path": str(path)})) as store:
        store.write(TABLE, [(key, b"x" * 1000) for key in keys], put)
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(8 * 4096)
        file.write(b"\xff" * (size - 8 * 4096))
    with closing(SqliteStore({"path": str(path)})) as store:
        with pytest.raises(BackendError, match="materialize --replace"):
            store.read([(TABLE, keys)])
        with pytest.raises(BackendError, match="materialize --replace"):
            store.write(TABLE, [(key, b"y") for key in keys], put)


def test_a_writer_that_waits_too_long_is_told_why(path, monkeypatch):
    monkeypatch.setattr(sqlite, "WAIT", 0.05)
    with (
        closing(SqliteStore({"path": str(path)})) as store,
        closing(sqlite3.connect(path, isolation_level=None)) as other,
    ):
        store.write(TABLE, [(b"a", b"1")], put)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(BackendError, match="another process has been writing"):
            store.write(TABLE, [(b"a", b"2")], put)
        assert store.read([(TABLE, [b"a"])]) == [[b"1"]]
        other.execute("ROLLBACK")
        assert store.write(TABLE, [(b"a", b"2")], put) == 1


def test_old_generations_are_removed_from_the_file(path, monkeypatch):
    monkeypatch.setattr(sqlite, "SLICE", 7)
    with closing(SqliteStore({"path": str(path)})) as store:
        for generation in range(4):
            batches = [[(b"%d" % n, b"%d" % generation)] for n in range(30)]
            assert store.replace(TABLE, batches, put) == 30
        store.write(Table("p", "other@1"), [(b"a", b"1")], put)
        store.drop(Table("p", "other@1"))
    assert asked(path, "SELECT count(*) FROM entry") == 30
    assert asked(path, "SELECT count(*) FROM filling") == 0


def test_what_a_killed_replace_left_is_removed_by_the_next(path, store):
    check_killed_replace(SQLITE, str(path), store, lambda: asked(path, "SELECT count(*) FROM entry"))


def test_a_replace_leaves_another_that_is_under_way_alone(store):
    check_replaces_side_by_side(store)


def test_a_load_that_was_taken_for_dead_says_so_and_publishes_nothing(path, store, monkeypatch):
    with closing(SqliteStore({"path": str(path)})) as other:
        check_taken_for_dead(store, other, monkeypatch)
    assert asked(path, "SELECT count(*) FROM entry") == 0


def test_a_forked_child_reads_and_writes_while_a_thread_of_its_parent_does(path, store):
    store.write(TABLE, [(b"a", b"1")], put)
    stop = threading.Event()

    def write():
        while not stop.is_set():
            store.write(Table("p", "busy@1"), [(b"%d" % n, b"x") for n in range(50)], put)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(5):
            pid = os.fork()
            if not pid:
                fine = False
                try:
                    fine = store.read([(TABLE, [b"a"])]) == [[b"1"]]
                    fine &= store.write(TABLE, [(b"child-%d" % number, b"2")], put) == 1
                    store.close()
                finally:
                    os._exit(0 if fine else 1)
            assert os.waitpid(pid, 0)[1] == 0
    finally:
        stop.set()
        writer.join()
    assert store.read([(TABLE, [b"child-%d" % number for number in range(5)])]) == [[b"2"] * 5]
    assert asked(path, "PRAGMA integrity_check") == "ok"


def test_no_connection_is_open_across_a_fork(store):
    store.write(TABLE, [(b"a", b"1")], put)
    pid = os.fork()
    if not pid:
        os._exit(len(store._file._free))
    assert os.waitpid(pid, 0)[1] == 0
    assert store.read([(TABLE, [b"a"])]) == [[b"1"]]


def test_many_processes_may_make_the_file_at_once(path):
    code = "store.write(TABLE, [(b'%d' % os.getpid(), b'x')], put); print('done')"
    loaders = [started(SQLITE, str(path), code) for _ in range(4)]
    processes = [loader.__enter__() for loader in loaders]
    assert [process.communicate()[0] for process in processes] == ["done\n"] * 4
    for loader in loaders:
        loader.__exit__(None, None, None)
    with closing(SqliteStore({"path": str(path)})) as store:
        assert store.count(TABLE) == 4


def test_more_keys_than_one_statement_takes(store):
    keys = [b"%d" % n for n in range(40_000)]
    store.write(TABLE, [(key, key) for key in keys], put)
    wanted = [*keys[::2], b"none", *keys[1::2]]
    assert store.read([(TABLE, wanted)]) == [[*keys[::2], None, *keys[1::2]]]


def test_a_copy_taken_while_it_is_open_is_whole(path, store, tmp_path):
    store.write(TABLE, [(b"a", b"1")], put)
    for one in path.parent.glob("online.db*"):
        shutil.copy(one, tmp_path / one.name.replace("online", "copy"))
    with closing(SqliteStore({"path": str(tmp_path / "copy.db")})) as copy:
        assert copy.read([(TABLE, [b"a"])]) == [[b"1"]]


@pytest.mark.slow
def test_two_processes_amend_the_same_entities_and_lose_nothing(path):
    check_amend_race(SQLITE, str(path), lambda: SqliteStore({"path": str(path)}), rounds=150)


@pytest.mark.slow
def test_entities_a_killed_writer_amended_are_whole(path):
    check_killed_amends(SQLITE, str(path), lambda: SqliteStore({"path": str(path)}), entities=1_000, times=16)


@pytest.mark.slow
def test_two_processes_race_and_lose_nothing(path):
    check_race(SQLITE, str(path), lambda: SqliteStore({"path": str(path)}), rounds=150)


@pytest.mark.slow
def test_batches_of_a_killed_loader_are_whole_or_absent(path):
    check_kills(SQLITE, str(path), lambda: SqliteStore({"path": str(path)}), rows=3_000, times=24, step=3_000)
    assert asked(path, "SELECT count(*) FROM entry") == 3_000
    assert asked(path, "PRAGMA integrity_check") == "ok"


@pytest.mark.slow
def test_a_full_disk_is_an_error_and_nothing_is_half_written(path, store):
    check_full_disk(SQLITE, str(path), store)
