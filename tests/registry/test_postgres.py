"""The registry on a real PostgreSQL server: the same suite as SQLite's, then all that can happen to a wire."""

from __future__ import annotations

import multiprocessing
import random
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from cutting_proxy import CuttingProxy
from postgres_server import NAME, PASSWORD, PostgresServer
from racers import race

from gnomon import Entity, FeatureStore
from gnomon.clock import ManualClock
from gnomon.config import load
from gnomon.contracts.plugins import Context
from gnomon.contracts.registry import Registry, Run
from gnomon.definitions.catalog import Catalog
from gnomon.errors import BackendError, ConfigError, GnomonError, MissingExtra, NewerFormat
from gnomon.plan.changes import diff
from gnomon.registry import postgres as driver
from gnomon.registry.sql import FORMAT, SqlRegistry
from gnomon.testing.registry_suite import RegistrySuite

user = Catalog.of([Entity(name="user")])
RUN = Run(view="v@1", fingerprint="f", start=None, end=5, started=1, finished=2, rows=3)


def opened(url: str, **options: object) -> SqlRegistry:
    context = Context(repo_path=Path("nowhere"), project="p", clock=ManualClock())
    return SqlRegistry({"path": url, **options}, context)


def commit(registry: Registry, project: str = "p", by: str = "ann", after: int = 0) -> int:
    """Put in one entity more, called as the version is."""
    changes = diff(Catalog(), Catalog.of([Entity(name=f"e{after}")]))
    return registry.commit(project, changes, expected_version=after, at=1, by=by)


@pytest.fixture
def url(postgres: PostgresServer) -> str:
    return postgres.url()


@pytest.fixture
def wire(postgres: PostgresServer) -> Iterator[CuttingProxy]:
    with CuttingProxy(postgres.port) as wire:
        yield wire


def through(wire: CuttingProxy, url: str) -> str:
    return url.replace(f":{urlsplit(url).port}/", f":{wire.port}/")


class TestSqlRegistryOnPostgres(RegistrySuite):
    @pytest.fixture
    def open_registry(self, url: str) -> Callable[[], Registry]:
        return lambda: opened(url)


class TestInASchemaOfItsOwn(RegistrySuite):
    """It is made when it is first written to."""

    test_every_state_comes_back = None  # takes long, and knows nothing of schemas

    @pytest.fixture
    def open_registry(self, url: str) -> Callable[[], Registry]:
        return lambda: opened(url, schema='Größe "x"')


@pytest.mark.parametrize("scheme", ["postgres", "postgresql+psycopg", "postgresql+psycopg2"])
def test_all_ways_to_write_it_are_one(url: str, scheme: str) -> None:
    commit(opened(url))
    other = opened(url.replace("postgresql", scheme))
    assert commit(other, after=1) == 2
    assert list(opened(url).read("p").catalog.entities) == ["e0", "e1"]


@pytest.mark.parametrize("form", ["registry: {url}", "registry: {{registry_type: sql, path: '{url}'}}"])
def test_a_repo_names_it_and_keeps_the_password_in_a_variable(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setenv("PASSWORD", PASSWORD)
    written = form.format(url=url.replace(PASSWORD, "${PASSWORD}"))
    (tmp_path / "feature_store.yaml").write_text(f"project: shop\n{written}\n", encoding="utf-8")
    FeatureStore(tmp_path).apply([Entity(name="user")])
    assert [one.name for one in FeatureStore(tmp_path).list_entities()] == ["user"]
    assert opened(url).projects() == ["shop"]
    assert PASSWORD not in repr(load(tmp_path).registry)


def test_feasts_settings_are_let_pass(url: str) -> None:
    kwargs = {"echo": False, "pool_pre_ping": True, "connect_args": {"application_name": "feast"}}
    registry = opened(url, sqlalchemy_config_kwargs=kwargs)
    with registry._place.writer.begin() as connection:
        assert connection.exec_driver_sql("SHOW application_name").scalar() == "feast"
    with pytest.raises(ConfigError, match="did you mean 'connect_args'"):
        opened(url, sqlalchemy_config_kwargs={"connect_arg": {}})


def test_registries_of_one_database_are_kept_apart(postgres: PostgresServer, url: str) -> None:
    postgres.execute("CREATE SCHEMA a", "CREATE SCHEMA b", database=NAME)
    a, b = (opened(f"{url}?options=-csearch_path%3D{name}") for name in "ab")
    c, public = opened(url, schema="c"), opened(url)
    for registry, by in ((a, "a"), (b, "b"), (c, "c"), (public, "public")):
        assert registry.projects() == []
        commit(registry, by=by)
    assert [one.history("p")[0].by for one in (a, b, c, public)] == ["a", "b", "c", "public"]
    c.forget("p")
    assert [one.projects() for one in (a, b, c, opened(url, schema="b"))] == [["p"], ["p"], [], ["p"]]


def test_reading_makes_no_tables(postgres: PostgresServer, url: str) -> None:
    registry = opened(url, schema="mine")
    assert (registry.read("p").version, registry.projects()) == (0, [])
    registry.forget("p")
    assert postgres.execute("SELECT 1 FROM pg_namespace WHERE nspname = 'mine'", database=NAME) == []


def test_a_newer_format_is_refused(postgres: PostgresServer, url: str) -> None:
    commit(opened(url))
    postgres.execute(f"UPDATE gnomon_meta SET value = '{FORMAT + 1}'", database=NAME)
    for act in (lambda one: one.read("p"), lambda one: commit(one, "q")):
        with pytest.raises(NewerFormat, match=f"has format {FORMAT + 1}") as caught:
            act(opened(url))
        assert PASSWORD not in str(caught.value)
    postgres.execute("DELETE FROM gnomon_meta", database=NAME)
    with pytest.raises(BackendError, match="does not say its format"):
        opened(url).read("p")


def test_a_table_is_gone(postgres: PostgresServer, url: str) -> None:
    commit(opened(url))
    postgres.execute("DROP TABLE gnomon_definitions", database=NAME)
    with pytest.raises(BackendError, match="Hint: a table is gone"):
        opened(url).read("p")


def test_without_psycopg_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "psycopg", None)
    with pytest.raises(MissingExtra, match=r"pip install 'gnomon\[postgres\]'"):
        opened("postgresql://u@host/db")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://u:secret@x@host/db", "more than one @"),
        ("postgresql://u:12/secret@host/db@e", "more than one @"),
        ("postgresql://u:secret@host:port/db", "no usable URL"),
        ("postgresql:/u:secret@host:port/db", "no usable URL"),
        ("postgresql+asyncpg://u:secret@host/db?sslpassword=secret", "neither SQLite nor PostgreSQL"),
        ("postgresql://u:secret@host/db?colour=red", 'invalid connection option "colour"'),
    ],
)
def test_unusable_urls(url: str, said: str) -> None:
    with pytest.raises(GnomonError, match=said) as caught:
        opened(url).read("p")
    assert "secret" not in str(caught.value)
    with pytest.raises(ConfigError, match="a file has no schemas"):
        opened("registry.db", schema="x")


@pytest.fixture
def refusals(postgres: PostgresServer, url: str, wire: CuttingProxy) -> dict[str, tuple[str, dict[str, str]]]:
    commit(opened(url, schema="theirs"))
    make = f"CREATE ROLE weak LOGIN PASSWORD '{PASSWORD}'"
    postgres.execute("DROP ROLE IF EXISTS weak", make, "GRANT USAGE ON SCHEMA theirs TO weak", database=NAME)
    wire.down = True
    weak = postgres.address(NAME, user="weak")
    return {
        "wrong password": (postgres.address(NAME, password="wrong-sesame"), {}),
        "no password": (url.replace(f":{PASSWORD}", ""), {}),
        "no such user": (postgres.address(NAME, user="nobody"), {}),
        "no such database": (postgres.address("nowhere"), {}),
        "no such host": (f"postgresql://u:{PASSWORD}@host.invalid/db", {}),
        "nobody listens": (postgres.address(NAME, port=1), {}),
        "it hangs up": (through(wire, url), {}),
        "no TLS": (f"{url}?sslmode=require", {}),
        "may make nothing": (weak, {}),
        "may make no schema": (weak, {"schema": "mine"}),
        "may not even look": (weak, {"schema": "theirs"}),
        "no schema": (f"{url}?options=-csearch_path%3Dnowhere", {}),
        "read only": (f"{url}?options=-cdefault_transaction_read_only%3Don", {}),
    }


@pytest.mark.parametrize(
    ("case", "what", "hint"),
    [
        ("wrong password", "password authentication failed", "check user and password"),
        ("no password", "no password supplied", "PGPASSWORD"),
        ("no such user", "password authentication failed", "check user and password"),
        ("no such database", 'database "nowhere" does not exist', "createdb"),
        ("no such host", "host.invalid", "check the host"),
        ("nobody listens", "Connection refused", "start the server"),
        ("it hangs up", "closed the connection", "see that the server is up"),
        ("no TLS", "does not support SSL", "sslmode"),
        ("may make nothing", "permission denied for schema public", "grant the role"),
        ("may make no schema", "permission denied for database", "grant the role"),
        ("may not even look", "permission denied for table gnomon_meta", "grant the role"),
        ("no schema", "no schema has been selected", "search_path"),
        ("read only", "in a read-only transaction", "primary server"),
    ],
)
def test_refusals_name_the_next_step_and_no_password(
    refusals: dict[str, tuple[str, dict[str, str]]], monkeypatch: pytest.MonkeyPatch, case: str, what: str, hint: str
) -> None:
    monkeypatch.setenv("PGPASSFILE", "/dev/null")
    url, options = refusals[case]
    with pytest.raises(BackendError) as caught:
        commit(opened(url, **options))
    told = "".join(traceback.format_exception(caught.value))
    assert what in caught.value.what
    assert hint in (caught.value.hint or "")
    assert PASSWORD not in told
    assert "wrong-sesame" not in told


def test_the_rights_that_are_enough(postgres: PostgresServer, url: str) -> None:
    """Once the tables are made, as the page says."""
    commit(opened(url, schema="theirs"))
    tables = "GRANT {} ON ALL TABLES IN SCHEMA theirs TO {}"
    for role in ("author", "reader"):
        make = f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'"
        postgres.execute(f"DROP ROLE IF EXISTS {role}", make, f"GRANT USAGE ON SCHEMA theirs TO {role}", database=NAME)
    postgres.execute(
        tables.format("SELECT", "reader"),
        tables.format("SELECT, INSERT, UPDATE, DELETE", "author"),
        "GRANT USAGE ON SEQUENCE theirs.gnomon_runs_id_seq TO author",
        database=NAME,
    )
    author, reader = (opened(postgres.address(NAME, user=role), schema="theirs") for role in ("author", "reader"))
    assert commit(author, after=1) == 2
    author.record("p", RUN)
    assert (reader.read("p").version, reader.runs("p"), len(reader.history("p"))) == (2, [RUN], 2)
    with pytest.raises(BackendError, match="permission denied"):
        commit(reader, after=2)
    author.forget("p")
    assert reader.projects() == []


def test_tries_to_connect_are_few(postgres: PostgresServer) -> None:
    parameters = {"host": "127.0.0.1", "port": 1, "dbname": "db", "user": "u"}
    pauses: list[float] = []
    with pytest.raises(psycopg.OperationalError, match="Connection refused"):
        driver.connect(parameters, pauses.append)
    assert tuple(pauses) == driver.PAUSES
    wrong = {**parameters, "port": postgres.port, "password": "wrong"}
    with pytest.raises(psycopg.OperationalError, match="password"):
        driver.connect(wrong, pauses.append)
    assert tuple(pauses) == driver.PAUSES


def test_a_server_that_goes_away_and_comes_back() -> None:
    with PostgresServer() as server:
        registry = opened(server.url())
        commit(registry)
        server.stop()
        with pytest.raises(BackendError, match="Connection refused"):
            registry.read("p")
        comes_back = threading.Thread(target=server.start)
        comes_back.start()  # while the registry tries to connect
        assert commit(registry, after=1) == 2
        comes_back.join()
        assert registry.read("p").version == 2


def test_waiting_has_an_end(url: str) -> None:
    """On the server's side for clients that stop in the middle, on the client's for locks and slow servers."""
    with opened(url)._place.writer.begin() as connection:
        settings = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
        waits = [connection.exec_driver_sql(f"SHOW {name}").scalar() for name in settings]
    assert waits == ["1min", "15s", "10s"]


def test_writers_wait_for_each_other_and_readers_for_nobody(postgres: PostgresServer, url: str) -> None:
    registry = opened(url)
    commit(registry)
    with opened(url)._place.writer.begin():
        second = threading.Thread(target=commit, args=(registry,), kwargs={"after": 1})
        second.start()
        while not waiting(postgres):
            assert second.is_alive()
        assert opened(url).read("p").version == 1
    second.join(60)
    assert registry.read("p").version == 2


def test_of_racing_processes_one_wins_each_version(url: str) -> None:
    """From an empty database on: they also make the tables all at once."""
    rounds, names = 8, ("ann", "bob", "cyd", "dan")
    context = multiprocessing.get_context("spawn")
    barrier, outcomes = context.Barrier(len(names)), context.Queue()
    workers = [context.Process(target=race, args=(url, name, rounds, barrier, outcomes)) for name in names]
    for worker in workers:
        worker.start()
    told = [outcomes.get(timeout=120) for _ in range(rounds * len(names))]
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0] * len(names)
    won = sorted(one for one in told if one[0])
    assert won == [(one.version, one.by) for one in reversed(opened(url).history("p"))]
    assert [version for version, _ in won] == list(range(1, rounds + 1))
    assert list(opened(url).read("p").catalog.entities) == [f"e{one}" for one in range(rounds)]


LOCKED, COMMIT = b"pg_advisory_xact_lock", b"COMMIT"
"""What only writers say, and how they end."""

WRITES: list[Callable[[Registry], object]] = [
    lambda registry: commit(registry, by="bob", after=1),
    lambda registry: registry.record("p", RUN),
    lambda registry: registry.forget("p"),
]
BEFORE = (1, [], ["p"])
AFTER = [(2, [], ["p"]), (1, [RUN], ["p"]), (0, [], [])]


def state(url: str) -> tuple[int, list[Run], list[str]]:
    registry = opened(url)
    return registry.read("p").version, registry.runs("p"), registry.projects()


@pytest.mark.parametrize(("write", "after"), list(zip(WRITES, AFTER, strict=True)))
def test_an_answer_that_is_lost_is_looked_for(
    url: str, wire: CuttingProxy, write: Callable[[Registry], object], after: object
) -> None:
    """The server has committed, and the client hears nothing of it."""
    registry = opened(through(wire, url))
    commit(registry)
    wire.cut_around(COMMIT, once=LOCKED, how="answer")
    write(registry)
    assert wire.has_cut.is_set()
    assert state(url) == after


@pytest.mark.parametrize("write", WRITES)
def test_a_commit_that_never_arrives_is_none(url: str, wire: CuttingProxy, write: Callable[[Registry], object]) -> None:
    registry = opened(through(wire, url))
    commit(registry)
    wire.cut_around(COMMIT, once=LOCKED, how="before")
    with pytest.raises(BackendError, match="nothing was written"):
        write(registry)
    assert wire.has_cut.is_set()
    assert state(url) == BEFORE


@pytest.mark.parametrize(("write", "after"), list(zip(WRITES, AFTER, strict=True)))
def test_a_commit_that_arrives_late_is_waited_for(
    postgres: PostgresServer,
    url: str,
    wire: CuttingProxy,
    write: Callable[[Registry], object],
    after: object,
) -> None:
    """The client already asks what became of it, and stands behind the lock until that is settled."""
    registry = opened(through(wire, url))
    commit(registry)
    wire.cut_around(COMMIT, once=LOCKED, how="late")
    writer = threading.Thread(target=write, args=(registry,))
    writer.start()
    while not waiting(postgres):
        assert writer.is_alive()
    assert state(url) == BEFORE
    wire.go_on.set()
    writer.join(60)
    assert state(url) == after


def test_nobody_is_left_to_ask(url: str, wire: CuttingProxy) -> None:
    """Then the error says that it does not know, and where to look."""
    registry = opened(through(wire, url))
    commit(registry)
    wire.down_once_cut = True
    wire.cut_around(COMMIT, once=LOCKED, how="answer")
    with pytest.raises(BackendError, match="whether it did is not known") as caught:
        commit(registry, after=1)
    assert "gnomon history" in (caught.value.hint or "")
    assert state(url)[0] == 2


def test_wherever_the_wire_is_cut_the_registry_is_old_or_new(url: str, wire: CuttingProxy) -> None:
    """After any number of bytes, either way: what the client was told is what happened."""
    registry = opened(through(wire, url))
    commit(registry, "first")
    commit(registry, "second")
    drawn, ends = random.Random(3), (wire.sent, wire.received)
    told = []
    for number in range(60):
        sent, received = (drawn.randrange(end) if number % 2 == way else None for way, end in enumerate(ends))
        wire.cut_after(sent=sent, received=received)
        project = f"p{number}"
        writer = Writer(registry, project)
        writer.run()
        assert writer.outcome in ("done", "nothing")
        told.append(int(writer.outcome == "done"))
        assert opened(url).read(project).version == told[-1]
        assert len(opened(url).read(project).catalog.entities) == told[-1]
        assert commit(registry, project, after=told[-1]) == told[-1] + 1
    assert set(told) == {0, 1}


def test_wherever_an_answer_is_cut_a_read_is_right_or_an_error(url: str, wire: CuttingProxy) -> None:
    registry, drawn = opened(through(wire, url)), random.Random(4)
    commit(registry)
    assert registry.read("p").version == 1
    hints = []
    for received in [drawn.randrange(wire.received) for _ in range(20)]:
        wire.cut_after(received=received)
        try:
            assert list(registry.read("p").catalog.entities) == ["e0"]
        except BackendError as error:
            hints.append(error.hint or "")
    assert hints
    assert all("see that the server is up, and try again" in hint for hint in hints)


def test_a_server_that_falls_silent_in_the_middle_is_given_up(
    url: str, wire: CuttingProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its system still answers for it, so that the connection looks alive."""
    monkeypatch.setattr(driver, "SILENCE", 0.3)
    registry = opened(through(wire, url))
    commit(registry)
    assert registry.read("p").version == 1
    wire.hangs = True
    wire.cut_after(received=wire.received - 300)
    with pytest.raises(BackendError, match=r"no answer for 0\.3 seconds[\s\S]*pg_stat_activity"):
        registry.read("p")
    assert wire.has_cut.is_set()
    wire.go_on.set()
    assert registry.read("p").version == 1


@pytest.mark.slow
@pytest.mark.parametrize(("how", "enough"), [("terminate", 30), ("kill", 8)])
def test_a_backend_that_dies_at_any_instant_leaves_the_old_or_the_new(how: str, enough: int) -> None:
    """pg_terminate_backend, and SIGKILL, after which the server throws everybody out and recovers."""
    deaths, told, drawn = 0, set(), random.Random(5)
    with PostgresServer() as server:
        url = server.url()
        registry, victim = opened(url), opened(f"{url}?application_name=victim")
        while deaths < enough or not {"done", "nothing"} <= told:
            writer = Writer(victim, after=registry.read("p").version)
            deaths += strike(server, writer, drawn.random() * 0.05, how)
            told.add(writer.outcome)
            snapshot = registry.read("p")
            new = {"done": (1,), "nothing": (0,), "unclear": (0, 1)}[writer.outcome]
            assert snapshot.version - writer.after in new
            assert len(snapshot.catalog.entities) == len(registry.history("p")) == snapshot.version


class Writer(threading.Thread):
    """Commits once, and keeps what it was told."""

    def __init__(self, registry: Registry, project: str = "p", after: int = 0) -> None:
        super().__init__()
        self.after, self.outcome, self._registry, self._project = after, "", registry, project

    def run(self) -> None:
        try:
            commit(self._registry, self._project, after=self.after)
            self.outcome = "done"
        except BackendError as error:
            signs = {"is not known": "unclear", "nothing was written": "nothing"}
            self.outcome = next((word for sign, word in signs.items() if sign in str(error)), str(error))


def strike(server: PostgresServer, writer: Writer, seconds: float, how: str) -> bool:
    """Start a writer, and end its backend some time after it is seen; whether there was one to end."""
    seen = "FROM pg_stat_activity WHERE application_name = 'victim'"
    with psycopg.connect(server.address("postgres"), autocommit=True) as watch:
        writer.start()
        while writer.is_alive() and not (found := watch.execute(f"SELECT pid {seen}").fetchall()):
            pass
        threading.Event().wait(seconds)
        died = False
        if writer.is_alive() and found and how == "terminate":
            died = bool(watch.execute(f"SELECT pg_terminate_backend(pid) {seen}").fetchall())
        elif writer.is_alive() and found:
            server.kill(found[0][0])
            died = True
    writer.join(60)
    return died


def waiting(server: PostgresServer) -> bool:
    """Whether somebody stands behind the lock."""
    asked = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'advisory' AND datname = current_database()"
    return bool(server.execute(asked, database=NAME))
