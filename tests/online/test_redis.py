import os
import random
import shutil
import subprocess
import threading
from contextlib import closing

import pytest
from cutting_proxy import CuttingProxy
from loaders import (
    REDIS,
    TABLE,
    check_killed_replace,
    check_kills,
    check_race,
    check_replaces_side_by_side,
    check_taken_for_dead,
    rows_in_redis,
)
from redis_server import Server, cluster, free_port, sentinel

from gnomon.contracts.online import Table
from gnomon.errors import BackendError, ConfigError, NewerFormat
from gnomon.online.redis.options import parse
from gnomon.testing.amend_suite import PARTED, counted, numbers
from gnomon.testing.conformance import OnlineStoreSuite, appended, greatest, put

redis = pytest.importorskip("redis")
from gnomon.online.redis.store import RedisStore  # noqa: E402

OTHER = Table("p", "other@1")
SECRET = "open-sesame"


@pytest.fixture(scope="module", params=["redis", "valkey"])
def server(request):
    with Server(request.param) as server:
        yield server


@pytest.fixture(scope="module", params=["redis", "valkey"])
def nodes(request):
    with cluster(request.param) as nodes:
        yield nodes


@pytest.fixture
def bare(server):
    """The driver, on an empty server."""
    with redis.Redis(port=server.port) as client:
        client.flushall()
        client.config_set("maxmemory", 0)
        client.config_resetstat()
        yield client


@pytest.fixture
def make(server, bare):
    return lambda **options: RedisStore({"connection_string": server.address, **options})


@pytest.fixture
def store(make):
    with closing(make()) as store:
        yield store


@pytest.fixture
def spread(nodes):
    """A store on an empty cluster."""
    for node in nodes:
        with redis.Redis(port=node.port) as client:
            client.flushall()
    with closing(RedisStore({"connection_string": nodes[0].address, "redis_type": "redis_cluster"})) as store:
        yield store


class TestRedis(OnlineStoreSuite):
    @pytest.fixture
    def make_store(self, make):
        return make


class TestCluster(OnlineStoreSuite):
    @pytest.fixture
    def make_store(self, nodes, spread):
        hosts = ",".join(node.address for node in nodes[:2])
        return lambda: RedisStore({"connection_string": hosts, "redis_type": "redis_cluster"})


# Layout


def test_a_read_is_one_command_over_all_tables(store, bare):
    store.write(TABLE, [(b"a", b"1")], put)
    store.write(OTHER, [(b"a", b"2")], put)
    store.read([(TABLE, [b"a"]), (OTHER, [b"a"])])
    bare.config_resetstat()
    assert store.read([(TABLE, [b"a", b"b"]), (OTHER, [b"a"])]) == [[b"1", None], [b"2"]]
    stats = bare.info("commandstats")
    assert stats.pop("cmdstat_config|resetstat")["calls"] == 1
    assert {name: found["calls"] for name, found in stats.items() if name != "cmdstat_info"} == {"cmdstat_mget": 1}


def test_every_key_of_a_project_begins_with_its_name(store, bare):
    odd = Table("a{b}*?:c", "v{1}:x@1")
    for table in (TABLE, odd):
        store.write(table, [(b"{k}*", b"1"), (b"\0\r\n", b"2")], put)
        store.note(table, "n", b"v")
    assert all(key.startswith((b"gnomon:p:", b"gnomon:a%7Bb%7D%2A%3F%3Ac:")) for key in bare.scan_iter())
    assert store.read([(odd, [b"\0\r\n", b"{k}*"])]) == [[b"2", b"1"]]
    store.drop(odd)
    assert not list(bare.scan_iter(match="gnomon:a*"))
    assert (store.count(TABLE), store.notes(TABLE)) == (2, {"n": b"v"})


def test_a_dropped_project_leaves_nothing_behind(store, bare):
    for name in ("a@1", "b@1", "b@2"):
        store.replace(Table("p", name), [[(b"%d" % n, b"x") for n in range(3_000)]], put)
        store.note(Table("p", name), "n", b"v")
    for table in store.tables("p"):
        store.drop(table)
    assert bare.dbsize() == 0


def test_dropping_many_rows_never_keeps_others_waiting(store, bare):
    for at in range(3):
        store.replace(Table("p", f"{at}@1"), [[(b"%d" % n, b"x") for n in range(100_000)]], put)
    bare.config_resetstat()
    store.drop(Table("p", "1@1"))
    asked = {name.removeprefix("cmdstat_"): told["calls"] for name, told in bare.info("commandstats").items()}
    assert min(asked["scan"], asked["unlink"]) >= 100  # about a thousand keys at a time
    assert asked.get("del", 0) < 10  # bookkeeping
    assert not asked.keys() & {"keys", "flushdb", "flushall"}
    assert rows_in_redis(bare) == 200_002


def test_a_value_larger_than_a_step_and_many_of_them(store):
    entries = [(b"%d" % n, b"%d" % n * 300_000) for n in range(40)]
    assert store.write(TABLE, entries, put) == 40
    assert store.read([(TABLE, [b"17", b"39"])]) == [[b"17" * 300_000, b"39" * 300_000]]


def test_rows_expire_when_they_did_not_change(make, bare):
    with closing(make(key_ttl_seconds=1_000)) as store:
        store.write(TABLE, [(b"a", b"1"), (b"b", b"1")], greatest)
        store.write(TABLE, [(b"a", b"1"), (b"b", b"2")], greatest)
        store.replace(OTHER, [[(b"a", b"1")]], put)
        assert store.count(TABLE) == 2
        assert sorted(bare.ttl(key) > 990 for key in bare.scan_iter()) == [False] * 5 + [True] * 3
        bare.expire(next(bare.scan_iter(match="*:b")), 0)
        assert (store.count(TABLE), store.read([(TABLE, [b"a", b"b"])])) == (1, [[b"1", None]])
        assert store.write(TABLE, [(b"b", b"0")], greatest) == 1


# Writers


def test_a_writer_that_is_overtaken_merges_again(make, store):
    overtaken = []

    def merge(stored, incoming):
        if not overtaken:
            overtaken.append(stored)
            with closing(make()) as other:
                other.write(TABLE, [(b"a", b"2")], appended)
        return appended(stored, incoming)

    store.write(TABLE, [(b"a", b"1")], appended)
    assert store.write(TABLE, [(b"a", b"3"), (b"b", b"3")], merge) == 2
    assert store.read([(TABLE, [b"a", b"b"])]) == [[b"123", b"3"]]
    assert store.count(TABLE) == 2


def test_a_write_that_meets_a_new_generation_goes_into_that(store):
    overtaken_by_a_generation(store)


def test_a_write_that_meets_a_new_generation_on_a_cluster_goes_into_that(spread):
    overtaken_by_a_generation(spread)


def overtaken_by_a_generation(store):
    met = []

    def merge(stored, incoming):
        if not met:
            met.append(stored)
            store.replace(TABLE, [[(b"a", b"new")]], put)
        return appended(stored, incoming)

    store.write(TABLE, [(b"a", b"old")], put)
    assert store.write(TABLE, [(b"a", b"+"), (b"b", b"+")], merge) == 2
    assert store.read([(TABLE, [b"a", b"b"])]) == [[b"new+", b"+"]]
    assert store.count(TABLE) == 2


def test_scripts_that_the_server_forgot_are_sent_again(store, bare):
    store.write(TABLE, [(b"a", b"1")], put)
    bare.script_flush()
    assert store.write(TABLE, [(b"a", b"2")], appended) == 1
    assert store.read([(TABLE, [b"a"])]) == [[b"12"]]


def test_other_stores_notice_a_new_generation(make, store):
    with closing(make()) as reader:
        store.write(TABLE, [(b"a", b"1")], put)
        assert reader.read([(TABLE, [b"a"])]) == [[b"1"]]
        store.replace(TABLE, [[(b"a", b"2")]], put)
        assert reader.read([(TABLE, [b"a"])]) == [[b"2"]]
        store.drop(TABLE)
        assert (reader.read([(TABLE, [b"a"])]), reader.count(TABLE)) == ([[None]], 0)
        assert reader.write(TABLE, [(b"a", b"3")], appended) == 1
        assert store.read([(TABLE, [b"a"])]) == [[b"3"]]


def test_a_generation_that_lost_keys_is_an_error_and_not_a_loop(store, bare):
    store.write(TABLE, [(b"a", b"1")], put)
    (counter,) = bare.scan_iter(match="*=")
    bare.delete(counter)
    with pytest.raises(BackendError, match="noeviction"):
        store.write(TABLE, [(b"a", b"2")], put)
    with pytest.raises(BackendError, match="in part only"):
        store.delete(TABLE, [b"a"])
    assert store.replace(TABLE, [[(b"a", b"3")]], put) == 1
    assert rows_in_redis(bare) == 2


# Loads that die


def test_what_a_killed_replace_left_is_removed_by_the_next(server, store, bare):
    def found():
        return rows_in_redis(bare) - sum(key.endswith(b"=") for key in bare.scan_iter())

    check_killed_replace(REDIS, server.address, store, found)


def test_a_replace_leaves_another_that_is_under_way_alone(store):
    check_replaces_side_by_side(store)


def test_a_load_elsewhere_that_is_taken_for_dead_says_so_and_publishes_nothing(store, bare, monkeypatch):
    check_taken_for_dead(store, store, monkeypatch)
    assert rows_in_redis(bare) == 1


@pytest.mark.slow
def test_two_processes_race_and_lose_nothing(server, make):
    check_race(REDIS, server.address, make, rounds=300)


@pytest.mark.slow
def test_steps_of_a_killed_loader_are_whole_or_absent(server, make, bare):
    check_kills(REDIS, server.address, make, rows=3_000, times=24, step=1_000)
    assert rows_in_redis(bare) == 3_001


def test_a_forked_child_uses_connections_of_its_own(store):
    store.write(TABLE, [(b"a", b"1")], put)
    pid = os.fork()
    if not pid:
        fine = False
        try:
            fine = all(store.read([(TABLE, [b"a"])]) == [[b"1"]] for _ in range(50))
            fine &= store.write(TABLE, [(b"b", b"2")], put) == 1
            store.close()
        finally:
            os._exit(0 if fine else 1)
    assert all(store.read([(TABLE, [b"a"])]) == [[b"1"]] for _ in range(50))
    assert os.waitpid(pid, 0)[1] == 0
    assert store.read([(TABLE, [b"a", b"b"])]) == [[b"1", b"2"]]


# Servers that fail


def failing(store, *texts):
    """Every method says what is wrong, in words that hold some texts."""
    for ask in (
        lambda: store.read([(TABLE, [b"a"])]),
        lambda: store.write(TABLE, [(b"a", b"1")], put),
        lambda: store.replace(TABLE, [[(b"a", b"1")]], put),
        lambda: store.delete(TABLE, [b"a"]),
        lambda: store.drop(TABLE),
        lambda: store.tables("p"),
        lambda: store.count(TABLE),
        lambda: store.note(TABLE, "n", b"v"),
        lambda: store.notes(TABLE),
    ):
        with pytest.raises(BackendError) as caught:
            ask()
        assert all(text in str(caught.value) for text in (*texts, "Hint: "))
        assert SECRET not in str(caught.value)


def test_a_server_that_is_not_there():
    port = free_port()
    with closing(RedisStore({"connection_string": f"127.0.0.1:{port},password={SECRET}"})) as store:
        failing(store, f"Redis at 127.0.0.1:{port}: it cannot be reached")


def test_a_server_that_dies_and_comes_back():
    with Server("redis") as server, closing(RedisStore({"connection_string": server.address})) as store:
        store.write(TABLE, [(b"a", b"1")], put)

        def batches():
            yield [(b"a", b"2")]
            server.kill()
            yield [(b"b", b"2")]

        with pytest.raises(BackendError, match="cannot be reached"):
            store.replace(TABLE, batches(), put)
        failing(store, "cannot be reached")
        server.start()
        assert store.read([(TABLE, [b"a"])]) == [[None]]
        assert store.write(TABLE, [(b"a", b"3")], appended) == 1
        assert store.read([(TABLE, [b"a"])]) == [[b"3"]]


def test_a_server_that_answers_too_late_leaves_no_answer_for_the_next_question(server, make, store):
    with closing(make(socket_timeout=0.05)) as hasty:
        store.write(TABLE, [(b"a", b"1"), (b"b", b"2")], put)
        assert hasty.read([(TABLE, [b"a"])]) == [[b"1"]]
        server.freeze()
        try:
            with pytest.raises(BackendError, match=r"no answer in time[\s\S]*socket_timeout"):
                hasty.read([(TABLE, [b"a"])])
        finally:
            server.thaw()
        assert store.read([(TABLE, [b"b"])]) == [[b"2"]]  # it is awake again
        assert hasty.read([(TABLE, [b"b"])]) == [[b"2"]]


@pytest.fixture
def wire(server, bare):
    with CuttingProxy(server.port) as wire:
        yield wire


def through(wire, **options):
    return RedisStore({"connection_string": f"127.0.0.1:{wire.port}", **options})


def test_a_connection_that_is_cut_in_the_middle_of_an_answer_is_made_anew(wire, store):
    keys = [b"%d" % number for number in range(1_000)]
    store.write(TABLE, [(key, b"x" * 100) for key in keys], put)
    for received in (10, 30_000, 90_000):
        wire.cut_after(received=received)
        with closing(through(wire)) as cut:
            assert cut.read([(TABLE, keys)]) == [[b"x" * 100] * 1_000]
        assert wire.has_cut.is_set()
    wire.down_once_cut = True
    wire.cut_after(received=30_000)
    with closing(through(wire)) as cut, pytest.raises(BackendError, match="cannot be reached"):
        cut.read([(TABLE, keys)])


def test_an_answer_that_stays_away_in_the_middle_is_waited_for_only_so_long(wire, store):
    keys = [b"%d" % number for number in range(1_000)]
    store.write(TABLE, [(key, b"x" * 100) for key in keys], put)
    wire.hangs = True
    wire.cut_after(received=50_000)
    with closing(through(wire, socket_timeout=0.2)) as hasty:
        with pytest.raises(BackendError, match=r"no answer in time[\s\S]*socket_timeout"):
            hasty.read([(TABLE, keys)])
        wire.go_on.set()
        assert hasty.read([(TABLE, keys[:1])]) == [[b"x" * 100]]


def test_wherever_the_wire_is_cut_a_step_is_whole_or_absent_and_a_load_again_completes(wire, store):
    keys = [b"%d" % number for number in range(300)]

    def load(into, value):
        return into.write(TABLE, [(key, value) for key in keys], greatest)

    with closing(through(wire)) as first:
        load(first, b"000")
        ends = (wire.sent, wire.received)
    drawn, done = random.Random(1), []
    for number in range(1, 31):
        value = b"%03d" % number
        sent, received = (drawn.randrange(end) if number % 2 == way else None for way, end in enumerate(ends))
        wire.cut_after(sent=sent, received=received)
        wire.down_once_cut = number % 3 == 0  # else the next try gets through
        with closing(through(wire)) as cut:
            try:
                load(cut, value)
                done.append(value)
            except BackendError as error:
                assert_that_it_says_what_to_do(error)
        wire.down = False
        (found,) = set(store.read([(TABLE, keys)])[0])
        assert found in ((value,) if value in done else (value, b"%03d" % (number - 1)))
        load(store, value)
        assert set(store.read([(TABLE, keys)])[0]) == {value}
        assert store.count(TABLE) == 300
    assert 0 < len(done) < 30


def assert_that_it_says_what_to_do(error):
    assert "cannot be reached" in str(error)
    assert "Hint: " in str(error)


def test_a_full_server_stores_a_step_whole_or_not_at_all(store, bare):
    store.write(TABLE, [(b"a", b"1")], put)
    bare.config_set("maxmemory", bare.info("memory")["used_memory"] + (3 << 20))
    bare.config_set("maxmemory-policy", "noeviction")
    entries = [(b"%d" % n, b"x" * 1_000) for n in range(20_000)]
    with pytest.raises(BackendError, match=r"no memory left[\s\S]*raise maxmemory"):
        store.replace(TABLE, [entries[at : at + 1_000] for at in range(0, 20_000, 1_000)], put)
    assert (rows_in_redis(bare), store.read([(TABLE, [b"a"])])) == (2, [[b"1"]])
    with pytest.raises(BackendError, match="no memory left"):
        store.write(TABLE, entries, put)
    found = sum(value is not None for value in store.read([(TABLE, [key for key, _ in entries])])[0])
    assert (found % 1_000, store.count(TABLE)) == (0, found + 1)
    assert 0 < found < 20_000
    bare.config_set("maxmemory", 0)
    assert store.write(TABLE, entries, greatest) == 20_000 - found
    assert store.count(TABLE) == 20_001


def test_passwords_users_and_databases():
    with Server("redis", "--requirepass", SECRET) as server:
        where = server.address
        with redis.Redis(port=server.port, password=SECRET) as bare:
            bare.acl_setuser("reader", enabled=True, passwords=["+read-sesame"], keys=["gnomon:*"], commands=["+mget"])
            for text, said in (
                (where, "wants a password"),
                (f"{where},password=wrong-{SECRET}-wrong", "refuses the password"),
                (f"redis://nobody:{SECRET}@{where}", "refuses the password or the user"),
                (f"{where},password={SECRET},db=99", "no such database"),
            ):
                with closing(RedisStore({"connection_string": text})) as store:
                    failing(store, said)
            with closing(RedisStore({"connection_string": f"{where},password={SECRET},db=1"})) as store:
                store.write(TABLE, [(b"a", b"1")], put)
            with closing(RedisStore({"connection_string": f"redis://:{SECRET}@{where}/1"})) as store:
                assert store.read([(TABLE, [b"a"])]) == [[b"1"]]
            with closing(RedisStore({"connection_string": f"redis://reader:read-sesame@{where}/0"})) as store:
                assert store.read([(TABLE, [b"a"])]) == [[None]]
                with pytest.raises(BackendError, match="may not do this"):
                    store.note(TABLE, "n", b"v")


def test_a_replica_takes_no_writes(server, store):
    store.write(TABLE, [(b"a", b"1")], put)
    with Server(server.kind, "--replicaof", "127.0.0.1", str(server.port)) as replica:
        replica.wait_for("Finished with success")
        with closing(RedisStore({"connection_string": replica.address})) as other:
            assert other.read([(TABLE, [b"a"])]) == [[b"1"]]
            with pytest.raises(BackendError, match="is a replica"):
                other.write(TABLE, [(b"a", b"2")], put)


def test_a_newer_format_is_told_apart(store, bare):
    store.write(TABLE, [(b"a", b"1")], put)
    (pointer,) = bare.scan_iter(match="*:table:*")
    bare.set(pointer, b"3 something else")
    for ask in (lambda: store.read([(TABLE, [b"a"])]), lambda: store.write(TABLE, [(b"a", b"1")], put)):
        with pytest.raises(NewerFormat, match="format 3"):
            ask()


def test_use_after_close_is_an_error(make):
    store = make()
    store.close()
    with pytest.raises(BackendError, match="closed"):
        store.read([(TABLE, [b"a"])])


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes its certificate with openssl")
def test_over_tls(tmp_path):
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -keyout key.pem -out cert.pem -subj /CN=localhost"
    names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run([*command.split(), *names], cwd=tmp_path, check=True, capture_output=True)
    key, cert, port = tmp_path / "key.pem", tmp_path / "cert.pem", free_port()
    options = [
        "--tls-port",
        str(port),
        "--tls-cert-file",
        str(cert),
        "--tls-key-file",
        str(key),
        "--tls-auth-clients",
        "no",
    ]
    with Server("redis", *options, "--requirepass", SECRET) as server:
        for text in (
            f"127.0.0.1:{port},ssl=true,ssl_ca_certs={cert},password={SECRET}",
            f"rediss://:{SECRET}@localhost:{port}/0?ssl_ca_certs={cert}",
        ):
            with closing(RedisStore({"connection_string": text})) as store:
                store.write(TABLE, [(b"a", b"1")], put)
                assert store.read([(TABLE, [b"a"])]) == [[b"1"]]
        distrusted = {"connection_string": f"127.0.0.1:{port},ssl=true,password={SECRET}"}
        with closing(RedisStore(distrusted)) as store, pytest.raises(BackendError, match="CERTIFICATE_VERIFY_FAILED"):
            store.read([(TABLE, [b"a"])])
        plain = {"connection_string": f"{server.address},ssl=true,password={SECRET}", "socket_timeout": 0.1}
        with closing(RedisStore(plain)) as store, pytest.raises(BackendError, match="ssl in connection_string"):
            store.read([(TABLE, [b"a"])])


# Sentinels and clusters


def test_sentinels_say_where_the_server_is():
    with sentinel() as (watch, primary):
        options = {"redis_type": "sentinel", "sentinel_master": "shop"}
        text = f"{watch.address},password={SECRET}"
        with closing(RedisStore({"connection_string": text, **options})) as store:
            store.write(TABLE, [(b"a", b"1")], put)
            assert store.read([(TABLE, [b"a"])]) == [[b"1"]]
            assert store.capabilities.atomic_request
            store.amend(PARTED, [counted(b"1")])
            assert numbers(store, PARTED, [b"1"]) == [1]
        with redis.Redis(port=primary.port, password=SECRET) as bare:
            assert bare.dbsize() == 9
        with closing(RedisStore({"connection_string": text, **options, "sentinel_master": "shopp"})) as store:
            failing(store, "name no server", "shopp", "sentinel_master")


def test_a_cluster_spreads_a_tables_rows_evenly(nodes, spread):
    spread.replace(TABLE, [[(b"%d" % n, b"%d" % n) for n in range(6_000)]], put)
    spread.write(TABLE, [(b"%d" % n, b"x") for n in range(3_000, 9_000)], put)
    sizes = []
    for node in nodes:
        with redis.Redis(port=node.port) as client:
            sizes.append(client.dbsize())
    assert max(sizes) < 1.25 * min(sizes)
    assert spread.count(TABLE) == 9_000
    assert spread.delete(TABLE, [b"%d" % n for n in range(8_000)]) == 8_000
    spread.drop(TABLE)
    for node in nodes:
        with redis.Redis(port=node.port) as client:
            assert client.dbsize() == 0


def test_a_cluster_asks_anew_for_a_row_that_went_while_it_was_being_read(nodes, spread, monkeypatch):
    spread.write(TABLE, [(b"a", b"old")], put)
    spread.read([(TABLE, [b"a"])])
    ask, replaced = spread._server.mget, []

    def mget(keys):
        values = ask(keys)
        if len(keys) == 2 and not replaced:  # pointer and row: between its slots others may act
            replaced.append(True)
            with closing(RedisStore({"connection_string": nodes[1].address, "redis_type": "redis_cluster"})) as other:
                other.replace(TABLE, [[(b"a", b"new")]], put)
            return [values[0], ask(keys)[1]]
        return values

    monkeypatch.setattr(spread._server, "mget", mget)
    assert spread.read([(TABLE, [b"a"])]) == [[b"new"]]
    assert replaced


def test_the_wrong_redis_type_is_named(server, make, nodes):
    with closing(make(redis_type="redis_cluster")) as store, pytest.raises(BackendError, match="it is not a cluster"):
        store.read([(TABLE, [b"a"])])
    with closing(RedisStore({"connection_string": nodes[0].address})) as store:
        failing(store, "set redis_type: redis_cluster")


def test_a_cluster_that_is_not_there():
    text = f"127.0.0.1:{free_port()},127.0.0.1:{free_port()},password={SECRET}"
    with closing(RedisStore({"connection_string": text, "redis_type": "redis_cluster"})) as store:
        failing(store, "cannot be reached")


# Options


def test_a_connection_string_as_feast_writes_it():
    found = parse({"connection_string": "r1:6380,password=a=b,ssl=true,db=1,socket_timeout=2.5", "key_ttl_seconds": 60})
    assert (found.kind, found.hosts, found.ttl) == ("redis", (("r1", 6380),), 60)
    assert found.driver == {
        "password": "a=b", "ssl": True, "db": 1, "socket_timeout": 2.5, "socket_connect_timeout": 2.5,
    }  # fmt: skip
    assert parse({}).hosts == (("localhost", 6379),)
    several = parse({"connection_string": "r1, [::1]:7000 ,r3:7001", "redis_type": "redis_cluster"})
    assert several.hosts == (("r1", 6379), ("::1", 7000), ("r3", 7001))
    watched = parse({"connection_string": "s1,sentinel_password=s,password=p", "redis_type": "sentinel"})
    assert (watched.hosts, watched.master, watched.sentinel) == ((("s1", 26379),), "mymaster", {"password": "s"})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"conection_string": "x"}, "did you mean 'connection_string'"),
        ({"connection_string": "r1,pasword=open-sesame"}, "did you mean 'password'"),
        ({"connection_string": "r1,ssl_ca_cert=x"}, "did you mean 'ssl_ca_certs'"),
        ({"connection_string": "redis://r1?pasword=open-sesame"}, "did you mean 'password'"),
        ({"connection_string": "redi://:open-sesame@r1"}, "did you mean 'redis'"),
        ({"connection_string": "redis://:open-sesame@r1:port"}, "not a URL"),
        ({"connection_string": ":open-sesame@r1:6379"}, "no host:port"),
        ({"connection_string": "r1:port"}, "no host:port"),
        ({"connection_string": "r1:0"}, "no host:port"),
        ({"connection_string": ""}, "write host:port"),
        ({"connection_string": 6379}, "write host:port"),
        ({"connection_string": "password=open-sesame"}, "names no host"),
        ({"connection_string": "r1,db=first"}, "db"),
        ({"connection_string": "r1,ssl=maybe"}, "ssl"),
        ({"connection_string": "r1,ssl_ca_certs=x"}, "add ssl=true"),
        ({"connection_string": "r1,ssl=true,ssl_cert_reqs=some"}, "none, optional or required"),
        ({"connection_string": "r1,r2"}, "set redis_type"),
        ({"connection_string": "r1,sentinel_password=open-sesame"}, "set redis_type: sentinel"),
        ({"connection_string": "r1,db=1", "redis_type": "redis_cluster"}, "remove db"),
        ({"redis_type": "cluster"}, "did you mean 'redis_cluster'"),
        ({"key_ttl_seconds": 0}, "from 1"),
        ({"key_ttl_seconds": "1h"}, "from 1"),
        ({"socket_timeout": 0}, "above 0"),
        ({"sentinel_master": ""}, "sentinels watch"),
    ],
)
def test_a_mistake_in_the_options_is_named_without_its_secrets(options, said):
    with pytest.raises(ConfigError) as caught:
        RedisStore(options)
    assert said in str(caught.value)
    assert SECRET not in str(caught.value)


def test_no_printed_form_holds_a_password():
    settings = parse({"connection_string": f"r1,password={SECRET}"})
    assert SECRET not in f"{settings} {settings!r} {settings.where}"


def test_threads_share_a_store(store):
    store.write(TABLE, [(b"%d" % n, b"%d" % n) for n in range(50)], put)
    wrong = []

    def ask(start):
        for n in range(200):
            key = b"%d" % ((start + n) % 50)
            if store.read([(TABLE, [key])]) != [[key]]:
                wrong.append(key)

    threads = [threading.Thread(target=ask, args=(n * 7,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
