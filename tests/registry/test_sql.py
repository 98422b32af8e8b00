from __future__ import annotations

import multiprocessing
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from gnomon import Entity
from gnomon.clock import ManualClock
from gnomon.contracts.plugins import Context
from gnomon.contracts.registry import Registry
from gnomon.definitions.catalog import Catalog
from gnomon.errors import BackendError, ConfigError, ConflictError, NewerFormat, RequestError
from gnomon.plan.changes import diff
from gnomon.registry.sql import FORMAT, SqlRegistry
from gnomon.testing.registry_suite import RegistrySuite

user = Catalog.of([Entity(name="user")])
place = Catalog.of([Entity(name="place")])


def opened(folder: Path, **options: object) -> SqlRegistry:
    return SqlRegistry(options, Context(repo_path=folder, project="p", clock=ManualClock()))


def commit(registry: Registry, project: str = "p", by: str = "ann") -> int:
    return registry.commit(project, diff(Catalog(), user), expected_version=0, at=1, by=by)


class TestSqlRegistryOnSqlite(RegistrySuite):
    @pytest.fixture
    def open_registry(self, tmp_path: Path) -> Callable[[], Registry]:
        return lambda: opened(tmp_path)


def test_reading_makes_no_file(tmp_path: Path) -> None:
    registry = opened(tmp_path)
    assert registry.read("p").version == 0
    assert registry.commit("p", (), expected_version=0, at=1, by="ann") == 0
    registry.forget("p")
    assert list(tmp_path.iterdir()) == []


def test_the_file_is_made_where_the_path_says(tmp_path: Path) -> None:
    commit(opened(tmp_path))
    assert (tmp_path / ".gnomon" / "registry.db").is_file()
    commit(opened(tmp_path, path="data/a # ?%20b.db"))
    assert [one.name for one in (tmp_path / "data").iterdir()] == ["a # ?%20b.db"]
    commit(opened(tmp_path, path="sqlite:///relative.db"))
    commit(opened(tmp_path, path=f"sqlite:///{tmp_path}/absolute.db"))
    assert opened(tmp_path, path=tmp_path / "absolute.db").read("p") == opened(tmp_path, path="relative.db").read("p")
    assert (tmp_path / "absolute.db").is_file()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"pth": "x"}, "did you mean 'path'"),
        ({"path": "sqlite://"}, "names no file"),
        ({"path": "sqlite:///:memory:"}, "names no file"),
        ({"path": "mysql://root:secret@host/db"}, r"mysql://root:\*\*\*@host/db is neither SQLite nor PostgreSQL"),
        ({"path": "1 2://secret"}, "no usable URL"),
    ],
)
def test_unusable_options(tmp_path: Path, options: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        opened(tmp_path, **options)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"\x0a\x10feast protobuf registry" * 50, os.urandom(8192), b"SQLite format 3\x00" + b"x" * 5000]
)
def test_a_file_that_is_no_database(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "registry.db"
    file.write_bytes(content)
    for act in (lambda one: one.read("p"), commit, lambda one: one.projects()):
        with pytest.raises(BackendError, match=str(file)):
            act(opened(tmp_path, path="registry.db"))
    assert file.read_bytes() == content


def test_a_damaged_database(tmp_path: Path) -> None:
    registry = opened(tmp_path, path="registry.db")
    commit(registry)
    file = tmp_path / "registry.db"
    whole = file.read_bytes()
    file.write_bytes(whole[:100] + b"\xff" * (len(whole) - 100))
    with pytest.raises(BackendError, match="Hint: it is damaged"):
        registry.read("p")
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BackendError, match=str(file)):
        registry.read("p")


def test_a_folder_in_the_files_place(tmp_path: Path) -> None:
    (tmp_path / "registry.db").mkdir()
    (tmp_path / "file").touch()
    for path in ("registry.db", "file/registry.db"):
        with pytest.raises(BackendError, match=path):
            commit(opened(tmp_path, path=path))


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    commit(opened(tmp_path, path="registry.db"))
    write(tmp_path / "registry.db", f"update gnomon_meta set value = '{FORMAT + 1}'")
    for act in (lambda one: one.read("p"), lambda one: commit(one, "q")):
        with pytest.raises(NewerFormat, match=f"has format {FORMAT + 1}"):
            act(opened(tmp_path, path="registry.db"))


def test_a_registry_without_its_format(tmp_path: Path) -> None:
    commit(opened(tmp_path, path="registry.db"))
    write(tmp_path / "registry.db", "delete from gnomon_meta")
    with pytest.raises(BackendError, match="does not say its format"):
        opened(tmp_path, path="registry.db").read("p")


def test_a_definition_nobody_can_read(tmp_path: Path) -> None:
    registry = opened(tmp_path, path="registry.db")
    commit(registry)
    for document in ("{", "{}", '{"kind": "Entity", "name": "user", "colour": "red"}', '{"kind": "Galaxy"}'):
        write(tmp_path / "registry.db", f"update gnomon_definitions set document = '{document}'")
        with pytest.raises(BackendError, match="a definition that cannot be read"):
            registry.read("p")


def test_a_database_of_somebody_else_is_shared(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "registry.db")) as theirs:
        theirs.execute("create table commits (a)")
    registry = opened(tmp_path, path="registry.db")
    assert registry.projects() == []
    assert commit(registry) == 1
    assert registry.read("p").catalog == user


def test_readers_go_on_while_a_writer_holds_the_file(tmp_path: Path) -> None:
    registry = opened(tmp_path, path="registry.db")
    commit(registry)
    with closing(sqlite3.connect(tmp_path / "registry.db", isolation_level=None)) as writer:
        assert writer.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("delete from gnomon_definitions")
        assert registry.read("p").catalog == user
        writer.execute("ROLLBACK")


def test_a_commit_that_fails_half_way_leaves_nothing(tmp_path: Path) -> None:
    registry = opened(tmp_path, path="registry.db")
    commit(registry)
    write(
        tmp_path / "registry.db",
        "create trigger full before insert on gnomon_definitions begin select raise(abort, 'full'); end",
    )
    with pytest.raises(BackendError, match="make room on the disk"):
        registry.commit("p", diff(user, place), expected_version=1, at=2, by="bob")
    assert (registry.read("p").version, registry.read("p").catalog, len(registry.history("p"))) == (1, user, 1)


def test_a_definition_may_not_stand_twice_in_a_commit(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="twice"):
        opened(tmp_path).commit("p", diff(Catalog(), user) * 2, expected_version=0, at=1, by="ann")


def test_a_commit_that_comes_in_between_is_a_conflict(tmp_path: Path) -> None:
    """On a server two commits may both see version 0; then the primary key decides."""
    registry = opened(tmp_path, path="registry.db")
    commit(registry, "other")

    def come_between(connection: sa.Connection, cursor: object, statement: str, *rest: object) -> None:
        if statement.startswith("INSERT INTO gnomon_commits"):
            driver = connection.connection.driver_connection
            assert isinstance(driver, sqlite3.Connection)
            driver.execute("INSERT INTO gnomon_commits VALUES ('p', 1, 5, 'bob', '[]')")
            driver.execute("COMMIT")
            driver.execute("BEGIN IMMEDIATE")

    sa.event.listen(registry._place.writer, "before_cursor_execute", come_between)
    with pytest.raises(ConflictError, match="Version 1 is by bob"):
        commit(registry)
    assert registry.history("p")[0].by == "bob"
    assert registry.read("p").catalog == Catalog()


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder every user can reach, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


@pytest.fixture
def nobody() -> Iterator[None]:
    """Root may write everywhere, so for a while be somebody who may not."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    yield
    os.seteuid(0)


@pytest.fixture
def locked_folder(open_folder: Path) -> Path:
    commit(opened(open_folder, path="registry.db"))
    (open_folder / "registry.db").chmod(0o444)
    open_folder.chmod(0o555)
    return open_folder


def test_where_nothing_may_be_written_it_can_be_read(locked_folder: Path, nobody: None) -> None:
    registry = opened(locked_folder, path="registry.db")
    assert registry.read("p").catalog == user
    with pytest.raises(BackendError, match="may not be written"):
        commit(registry, "q")
    with pytest.raises(BackendError, match=r"registry\.db"):
        commit(opened(locked_folder, path="new/registry.db"))
    assert opened(locked_folder, path="new/registry.db").projects() == []
    assert registry.projects() == ["p"]


def start(folder: str, name: str, ready: object, go: object) -> None:
    registry = opened(Path(folder), path="new/registry.db")
    ready.release()  # type: ignore[attr-defined]
    go.wait(60)  # type: ignore[attr-defined]
    for _ in range(5):
        commit(registry, f"{name}{_}", by=name)
        assert registry.read(f"{name}{_}").catalog == user


def test_many_processes_may_start_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready, go = context.Semaphore(0), context.Event()
    workers = [context.Process(target=start, args=(str(tmp_path), name, ready, go)) for name in "abcdef"]
    for worker in workers:
        worker.start()
    for _ in workers:
        assert ready.acquire(timeout=60)
    go.set()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0] * 6
    assert len(opened(tmp_path, path="new/registry.db").projects()) == 30


def write(file: Path, statement: str) -> None:
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute(statement)
