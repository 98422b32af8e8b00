import errno
import json
import os
import random
import signal
import threading
from contextlib import closing
from pathlib import Path

import lmdb as driver
import pytest
from loaders import (
    LMDB,
    TABLE,
    check_amend_race,
    check_full_disk,
    check_killed_amends,
    check_killed_replace,
    check_kills,
    check_race,
    check_replaces_side_by_side,
    rows_in_lmdb,
    started,
)

from gnomon.clock import ManualClock
from gnomon.contracts.online import Table
from gnomon.contracts.plugins import Context
from gnomon.errors import BackendError, ConfigError, NewerFormat
from gnomon.online import lmdb
from gnomon.online.lmdb import LmdbStore
from gnomon.testing.conformance import OnlineStoreSuite, appended, put


class TestLmdb(OnlineStoreSuite):
    @pytest.fixture
    def make_store(self, tmp_path):
        return lambda: LmdbStore({"path": str(tmp_path / "store")})


@pytest.fixture
def path(tmp_path):
    return tmp_path / "online.lmdb"


@pytest.fixture
def store(path):
    with closing(LmdbStore({"path": str(path)})) as store:
        yield store


def rows_in(store):
    """How many rows there are, whichever generation they are of."""
    return store._env.view(lambda txn: sum(key.startswith(b"r") for key, _ in txn.cursor()))


def test_the_default_folder_is_in_the_repo(tmp_path):
    context = Context(repo_path=tmp_path, project="p", clock=ManualClock())
    with closing(LmdbStore({}, context)) as store:
        store.write(TABLE, [(b"a", b"1")], put)
    assert (tmp_path / ".gnomon" / "online.lmdb" / "data.mdb").is_file()


def test_a_bad_map_size_is_refused(path):
    for size in ("1G", True, 5):
        with pytest.raises(ConfigError, match="map_size"):
            LmdbStore({"path": str(path), "map_size": size})


def test_a_bad_path_is_refused():
    for path in (None, "", 7):
        with pytest.raises(ConfigError, match="path"):
            LmdbStore({"path": path})


def test_a_mark_left_by_a_killed_process_goes_with_the_next_batch(path, store):
    code = """
        import signal
        store.write(TABLE, [(b"a", b"1")], lambda stored, incoming: os.kill(os.getpid(), signal.SIGKILL))
    """
    with started(LMDB, str(path), code) as killed:
        assert killed.wait() == -signal.SIGKILL
    assert len(list(path.glob("writer-*"))) == 1
    store.write(TABLE, [(b"b", b"1")], put)
    assert [mark.name.split("-")[1] for mark in path.glob("writer-*")] == [str(os.getpid())]
    assert store.read([(TABLE, [b"a", b"b"])]) == [[None, b"1"]]


def test_use_after_close_is_an_error(path):
    store = LmdbStore({"path": str(path)})
    store.close()
    with pytest.raises(BackendError, match="closed"):
        store.read([(TABLE, [b"a"])])


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BackendError, match="file"):
        LmdbStore({"path": str(tmp_path / "file" / "store")})


def test_something_else_in_the_folder_is_an_error(path):
    path.mkdir()
    (path / "data.mdb").write_bytes(b"not lmdb" * 10_000)
    with pytest.raises(BackendError, match="LMDB failed"):
        LmdbStore({"path": str(path)})


def test_a_newer_format_is_told_apart(path):
    LmdbStore({"path": str(path)}).close()
    with closing(driver.open(str(path))) as env, env.begin(write=True) as txn:
        txn.put(b"mformat", b"2")
    with pytest.raises(NewerFormat, match="format 2"):
        LmdbStore({"path": str(path)})


def test_a_file_that_is_cut_off_is_found_on_opening(path):
    with closing(LmdbStore({"path": str(path)})) as store:
        store.write(TABLE, [(b"%d" % n, b"x" * 1000) for n in range(1000)], put)
    os.truncate(path / "data.mdb", 100_000)
    with pytest.raises(BackendError, match="cut off"):
        LmdbStore({"path": str(path)})


def missing(env, path):
    """How many bytes the file has fewer than its pages would take."""
    pages, page = env.info()["last_pgno"] + 1, env.stat()["psize"]
    return pages * page - (path / "data.mdb").stat().st_size


def end_in_unwritten_pages(path):
    """Let LMDB take and free pages at the end in one transaction, which leaves them unwritten; how many bytes."""
    keys = [b"z%02d" % n for n in range(20)]
    with closing(driver.open(str(path))) as env:
        for _ in range(10):
            with env.begin(write=True) as txn:
                for key in keys:
                    txn.put(key, b"x" * 1500)
                for key in keys[:0:-1]:
                    txn.delete(key)
            if (lacking := missing(env, path)) > 0:
                return lacking
    return 0


def test_a_file_that_lacks_only_free_pages_is_whole(path):
    entries = [(b"%d" % n, b"x" * 1000) for n in range(1000)]
    with closing(LmdbStore({"path": str(path)})) as store:
        store.write(TABLE, entries, put)
    lacking, short = end_in_unwritten_pages(path), (path / "data.mdb").stat().st_size
    assert lacking > 0
    with closing(LmdbStore({"path": str(path)})) as store:
        assert (path / "data.mdb").stat().st_size == short + lacking
        assert store.read([(TABLE, [key for key, _ in entries])]) == [[value for _, value in entries]]
        assert store.write(TABLE, [(b"more", b"y" * 9000)], put) == 1


@pytest.mark.parametrize("bytes_lost", [1, 4096, 5 * 4096])
def test_a_file_that_lacks_a_used_page_is_left_as_it_is_and_refused(path, bytes_lost):
    with closing(LmdbStore({"path": str(path)})) as store:
        store.write(TABLE, [(b"%d" % n, b"x" * 1000) for n in range(1000)], put)
    size = (path / "data.mdb").stat().st_size - bytes_lost
    os.truncate(path / "data.mdb", size)
    with pytest.raises(BackendError, match="cut off"):
        LmdbStore({"path": str(path)})
    assert (path / "data.mdb").stat().st_size == size


def test_the_map_grows_by_itself(path):
    with closing(LmdbStore({"path": str(path), "map_size": 1 << 16})) as store:
        entries = [(b"%06d" % n, b"x" * 500) for n in range(5_000)]
        assert store.write(TABLE, entries, put) == 5_000
        assert store.read([(TABLE, [b"004999"])]) == [[b"x" * 500]]


def test_readers_in_threads_live_through_a_growing_map(path):
    with closing(LmdbStore({"path": str(path), "map_size": 1 << 16})) as store:
        store.write(TABLE, [(b"a", b"1")], put)
        stop, seen = threading.Event(), []

        def read():
            while not stop.is_set():
                seen.append(store.read([(TABLE, [b"a"])]))

        readers = [threading.Thread(target=read) for _ in range(3)]
        for reader in readers:
            reader.start()
        for n in range(12):
            store.write(TABLE, [(b"%d-%d" % (n, m), b"x" * 1000) for m in range(500)], put)
        stop.set()
        for reader in readers:
            reader.join()
        assert seen
        assert all(one == [[b"1"]] for one in seen)


def test_a_map_grown_elsewhere_is_adopted(path):
    with closing(LmdbStore({"path": str(path), "map_size": 1 << 16})) as store:
        store.write(TABLE, [(b"a", b"1")], put)
        with started(
            LMDB, str(path), 'store.write(TABLE, [(b"%d" % n, b"x" * 1000) for n in range(3000)], put)'
        ) as other:
            assert other.wait() == 0
        assert store.read([(TABLE, [b"a", b"2999"])]) == [[b"1", b"x" * 1000]]
        with started(
            LMDB, str(path), 'store.write(TABLE, [(b"%d" % n, b"x" * 1000) for n in range(9000)], put)'
        ) as other:
            assert other.wait() == 0
        assert store.write(TABLE, [(b"b", b"2")], put) == 1
        assert store.count(TABLE) == 9_002


def test_old_generations_are_removed_from_the_file(path, monkeypatch):
    monkeypatch.setattr(lmdb, "SLICE", 7)
    with closing(LmdbStore({"path": str(path)})) as store:
        for generation in range(4):
            batches = [[(b"%d" % n, b"%d" % generation)] for n in range(30)]
            assert store.replace(TABLE, batches, put) == 30
        store.write(Table("p", "other@1"), [(b"a", b"1")], put)
        store.drop(Table("p", "other@1"))
    assert rows_in_lmdb(path) == 30


def test_batches_that_come_sorted_or_not_fill_the_same_generation(store):
    numbers = list(range(3_000))
    random.Random(1).shuffle(numbers)
    batches = [[(b"%05d" % n, b"%d" % n) for n in numbers[at : at + 500]] for at in range(0, 3_000, 500)]
    assert store.replace(TABLE, batches, put) == 3_000
    assert store.replace(TABLE, [sorted(batch) for batch in batches], put) == 3_000
    assert store.read([(TABLE, [b"%05d" % n for n in range(3_000)])]) == [[b"%d" % n for n in range(3_000)]]


def test_what_a_killed_replace_left_is_removed_by_the_next(path, store):
    check_killed_replace(LMDB, str(path), store, lambda: rows_in(store))


def test_a_replace_leaves_another_that_is_under_way_alone(store):
    check_replaces_side_by_side(store)


def test_a_forked_child_reads_and_writes_and_leaves_its_parent_alone(store):
    store.write(TABLE, [(b"a", b"1")], put)
    assert store.read([(TABLE, [b"a"])]) == [[b"1"]]
    pid = os.fork()
    if not pid:
        try:
            fine = store.read([(TABLE, [b"a"])]) == [[b"1"]] and store.write(TABLE, [(b"b", b"2")], put) == 1
            store.close()
        finally:
            os._exit(0 if fine else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert store.read([(TABLE, [b"a", b"b"])]) == [[b"1", b"2"]]
    assert store.write(TABLE, [(b"c", b"3")], put) == 1


@pytest.mark.slow
def test_readers_in_other_processes_see_whole_batches_while_one_writes(path, store):
    reading = """
        keys, last, torn, count = [b"%d" % n for n in range(50)], 0, [], 0
        print("ready", flush=True)
        while last < 150:
            values = store.read([(TABLE, keys)])[0]
            count += 1
            if len(set(values)) != 1 or int(values[0]) < last:
                torn.append(values)
            last = int(values[0])
        import json
        print(json.dumps([count, len(torn)]))
    """
    store.write(TABLE, [(b"%d" % n, b"0") for n in range(50)], put)
    with started(LMDB, str(path), reading) as one, started(LMDB, str(path), reading) as two:
        for reader in (one, two):
            assert reader.stdout.readline() == "ready\n"
        for number in range(1, 151):
            entries = [(b"%d" % n, b"%d" % number) for n in range(50)]
            if number % 10:
                store.write(TABLE, entries, put)
            else:
                store.replace(TABLE, [entries[:20], entries[20:]], put)
        said = [reader.communicate()[0] for reader in (one, two)]
    for reader, answer in zip((one, two), said, strict=True):
        count, torn = json.loads(answer)
        assert count > 0
        assert torn == 0
        assert reader.returncode == 0


@pytest.mark.slow
def test_two_processes_amend_the_same_entities_and_lose_nothing(path):
    check_amend_race(LMDB, str(path), lambda: LmdbStore({"path": str(path)}), rounds=150)


@pytest.mark.slow
def test_entities_a_killed_writer_amended_are_whole(path):
    check_killed_amends(LMDB, str(path), lambda: LmdbStore({"path": str(path)}), entities=1_000, times=16)


@pytest.mark.slow
def test_two_processes_race_and_lose_nothing(path):
    check_race(LMDB, str(path), lambda: LmdbStore({"path": str(path)}), rounds=150)


@pytest.mark.slow
def test_loads_of_a_killed_process_are_whole_or_absent(path):
    check_kills(LMDB, str(path), lambda: LmdbStore({"path": str(path)}), rows=3_000, times=24, step=3_000)
    assert rows_in_lmdb(path) == 3_000


@pytest.mark.slow
def test_batches_of_a_killed_writer_are_whole_or_absent(path):
    writing = """
        n = store.count(TABLE) // 40
        print("ready", flush=True)
        while True:
            batch = [(b"%d-%d" % (n, m), b"%d" % n) for m in range(40)]
            if n % 5 == 4:
                store.write(Table("p", "counter@1"), [(b"n", b"%d" % n)], put)
            store.write(TABLE, batch, put)
            print(n, flush=True)
            n += 1
    """
    chance = random.Random(7)
    for _ in range(20):
        with started(LMDB, str(path), writing) as writer:
            assert writer.stdout.readline() == "ready\n"
            told = [writer.stdout.readline() for _ in range(chance.randrange(1, 6))]
            for _ in range(chance.randrange(20_000)):  # lets it get somewhere into the next batch
                pass
            writer.kill()
            told += writer.stdout.read().splitlines()
        finished = max(int(line) for line in told if line.strip())
        with closing(LmdbStore({"path": str(path)})) as store:
            count = store.count(TABLE)
            assert count % 40 == 0
            assert count // 40 >= finished + 1
            keys = [b"%d-%d" % (n, m) for n in range(count // 40 + 1) for m in range(40)]
            assert store.read([(TABLE, keys)])[0].count(None) == 40
            assert not list(path.glob("writer-*"))


def test_a_machine_that_went_down_in_the_middle_is_noticed(path):
    LmdbStore({"path": str(path)}).close()
    mark = path / "writer-999999999-abcd"
    mark.write_text("00000000-another-boot".ljust(64))
    with pytest.raises(BackendError, match="materialize --replace"):
        LmdbStore({"path": str(path)})
    mark.write_text(" " * 64)
    LmdbStore({"path": str(path)}).close()
    assert not mark.exists()


def test_a_mark_of_this_boot_says_nothing_bad(path):
    LmdbStore({"path": str(path)}).close()
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    (path / "writer-999999999-abcd").write_text(boot.ljust(64))
    with closing(LmdbStore({"path": str(path)})) as store:
        assert store.write(TABLE, [(b"a", b"1")], put) == 1
        assert len(list(path.glob("writer-*"))) == 1
    assert list(path.glob("writer-*")) == []


def test_while_a_batch_is_not_synced_the_mark_stands(path, store):
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    seen = []

    def merge(stored, incoming):
        seen.extend(mark.read_text().strip() for mark in path.glob("writer-*"))
        return incoming

    store.write(TABLE, [(b"a", b"1")], merge)
    assert seen == [boot]
    assert [mark.read_text().strip() for mark in path.glob("writer-*")] == [""]


@pytest.mark.slow
def test_a_full_disk_is_an_error_and_nothing_is_half_written(path, store):
    check_full_disk(LMDB, str(path), store)


def test_what_the_driver_says_is_kept_as_the_cause(store, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(lmdb.WriterMark, "set", full)
    with pytest.raises(BackendError, match="disk is full") as caught:
        store.write(TABLE, [(b"a", b"1")], appended)
    assert isinstance(caught.value.__cause__, OSError)
    assert store.read([(TABLE, [b"a"])]) == [[None]]
