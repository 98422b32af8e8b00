"""Entities of several parts in Redis: others that come first, generations that change, clusters, wires that are cut."""

import random
from contextlib import closing

import pytest
from cutting_proxy import CuttingProxy
from loaders import REDIS, check_amend_race, check_killed_amends, rows_in_redis
from redis_server import Server, cluster

from gnomon.contracts.online import Table
from gnomon.errors import BackendError
from gnomon.testing.amend_suite import PARTED, counted, counted_up, numbers, parts_put, put

redis = pytest.importorskip("redis")
from gnomon.online.redis.scripts import AMEND  # noqa: E402
from gnomon.online.redis.store import RedisStore  # noqa: E402

ENTITIES = [b"%d" % number for number in range(8)]


@pytest.fixture(scope="module")
def redis_one():
    with Server("redis") as server:
        yield server


@pytest.fixture(scope="module")
def valkey_one():
    with Server("valkey") as server:
        yield server


@pytest.fixture(params=["redis_one", "valkey_one"])
def server(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def nodes():
    with cluster("redis") as nodes:
        yield nodes


@pytest.fixture
def bare(server):
    """The driver, on an empty server."""
    with emptied(server) as client:
        yield client


@pytest.fixture
def make(server, bare):
    return lambda **options: RedisStore({"connection_string": server.address, **options})


@pytest.fixture
def store(make):
    with closing(make()) as store:
        yield store


@pytest.fixture
def make_spread(nodes):
    """Opens a cluster that is empty at first."""
    for node in nodes:
        emptied(node).close()
    return lambda: RedisStore({"connection_string": nodes[0].address, "redis_type": "redis_cluster"})


@pytest.fixture(params=["redis_one", "valkey_one", "cluster"])
def pair(request):
    """Two stores over one server, or one cluster."""
    if request.param == "cluster":
        make = request.getfixturevalue("make_spread")
    else:
        server = request.getfixturevalue(request.param)
        emptied(server).close()
        make = lambda: RedisStore({"connection_string": server.address})  # noqa: E731
    with closing(make()) as one, closing(make()) as two:
        yield one, two


def emptied(server):
    client = redis.Redis(port=server.port)
    client.flushall()
    client.config_set("maxmemory", 0)
    return client


def also(work, entity, after="guard"):
    """Counts an entity up; work is done when its guard, or its part, was looked at for the first time."""
    done = []

    def work_once(now):
        if now == after and not done:
            done.append(now)
            work()

    def change():
        (guard,) = yield [entity + b"h"]
        work_once("guard")
        (part,) = yield [entity + b"a"]
        work_once("part")
        assert guard == part
        value = counted_up(guard)
        return {entity + b"h": value, entity + b"a": value}

    return change


# Others that come first


@pytest.mark.parametrize("after", ["guard", "part"])
def test_a_change_that_is_overtaken_is_run_again_and_the_others_of_its_step_are_not(pair, after):
    store, other = pair

    def overtake():
        other.amend(PARTED, [counted(b"3"), counted(b"5")])

    store.amend(PARTED, [counted(one) for one in ENTITIES])
    changes = [also(overtake, one, after) if one == b"3" else counted(one) for one in ENTITIES]
    store.amend(PARTED, changes)
    assert numbers(store, PARTED, ENTITIES) == [2, 2, 2, 3, 2, 3, 2, 2]
    assert store.count(PARTED) == 16


@pytest.mark.parametrize("after", ["guard", "part"])
def test_the_last_change_may_be_overtaken_too(pair, after):
    store, other = pair
    store.amend(PARTED, [counted(b"1"), also(lambda: other.amend(PARTED, [counted(b"2")]), b"2", after)])
    assert numbers(store, PARTED, [b"1", b"2"]) == [1, 2]


@pytest.mark.parametrize("after", ["guard", "part"])
def test_an_entity_that_was_removed_meanwhile_is_made_anew(pair, after):
    store, other = pair
    store.amend(PARTED, [counted(b"1"), parts_put(b"2", {b"a": b"x"})])
    store.amend(PARTED, [also(lambda: other.amend(PARTED, [parts_put(b"1", None)]), b"1", after)])
    assert numbers(store, PARTED, [b"1"]) == [1]
    assert store.count(PARTED) == 4


def test_an_empty_guard_is_there(store):
    store.write(PARTED, [(b"1h", b""), (b"1a", b"")], put)
    store.amend(PARTED, [counted(b"1")])
    assert numbers(store, PARTED, [b"1"]) == [1]
    assert store.count(PARTED) == 2


# Generations


def loaded():
    value = bytes(15) + b"\7"
    return [[(one + part, value) for one in ENTITIES for part in (b"h", b"a")]]


@pytest.mark.parametrize("after", ["guard", "part"])
def test_a_generation_published_before_anything_is_stored_gets_all(pair, after):
    store, other = pair
    store.amend(PARTED, [counted(one) for one in ENTITIES])
    replace = also(lambda: other.replace(PARTED, loaded(), put), b"5", after)
    store.amend(PARTED, [replace if one == b"5" else counted(one) for one in ENTITIES])
    assert numbers(store, PARTED, ENTITIES) == [8] * 8
    assert store.count(PARTED) == 16


def test_a_generation_published_while_the_old_one_still_takes_rows_gets_all(pair, monkeypatch):
    store, other = pair
    store.amend(PARTED, [counted(one) for one in ENTITIES])
    monkeypatch.setattr(other._generations, "sweep", lambda project: None)  # it comes to that later
    replace = also(lambda: other.replace(PARTED, loaded(), put), b"5", "part")
    store.amend(PARTED, [replace if one == b"5" else counted(one) for one in ENTITIES])
    assert numbers(other, PARTED, ENTITIES) == [8] * 8


@pytest.mark.parametrize("step", [1, 2])
def test_a_generation_published_between_two_steps_gets_all(pair, monkeypatch, step):
    store, other = pair
    store.amend(PARTED, [counted(one) for one in ENTITIES])
    run_all, steps = store._server.run_all, []

    def run_all_and_publish(script, calls):
        answers = list(run_all(script, calls))
        steps.append(script)
        if len(steps) == step:
            other.replace(PARTED, loaded(), put)
        return iter(answers)

    monkeypatch.setattr(store._server, "run_all", run_all_and_publish)
    store.amend(PARTED, [counted(one) for one in ENTITIES])
    assert steps[0] is AMEND
    # On a single server all was done in the old generation before the new one came.
    assert numbers(other, PARTED, ENTITIES) == [8 if step == 1 or store._server.spread else 7] * 8
    assert other.count(PARTED) == 16


@pytest.mark.parametrize("after", ["guard", "part"])
def test_a_table_dropped_meanwhile_is_made_anew(pair, after):
    store, other = pair
    store.amend(PARTED, [counted(one) for one in ENTITIES])
    store.amend(PARTED, [counted(b"1"), also(lambda: other.drop(PARTED), b"2", after)])
    assert numbers(store, PARTED, [b"0", b"1", b"2"]) == [0, 1, 1]
    assert store.count(PARTED) == 4


def test_a_generation_that_lost_its_counter_is_an_error_and_not_a_loop(store, bare):
    store.amend(PARTED, [counted(b"1")])
    (counter,) = bare.scan_iter(match="*=")
    bare.delete(counter)
    with pytest.raises(BackendError, match="in part only"):
        store.amend(PARTED, [counted(b"1")])


def test_on_a_cluster_no_change_sees_what_is_left_of_a_generation(nodes, make_spread, monkeypatch):
    with closing(make_spread()) as store, closing(make_spread()) as other:
        store.amend(PARTED, [counted(b"1")])
        ask, replaced = store._server.mget, []

        def mget(keys):
            values = ask(keys)
            if len(keys) == 3 and not replaced:  # pointer, guard and part: between slots others may act
                replaced.append(True)
                other.replace(PARTED, [[(b"1h", counted_up(None)), (b"1a", counted_up(None))]], put)
                return [values[0], values[1], None]
            return values

        monkeypatch.setattr(store._server, "mget", mget)
        store.amend(PARTED, [counted(b"1")])
        assert replaced
        assert numbers(store, PARTED, [b"1"]) == [2]


# Layout


def test_an_entitys_parts_share_a_slot_with_its_row_and_tables_without_parts_are_as_ever(nodes, make_spread):
    ledger, rows = Table("p", "ledger@1", suffix=9), Table("p", "rows@1")
    entities = [b"%d" % number for number in range(300)]
    with closing(make_spread()) as store:
        store.replace(ledger, [[(one + b"%09d" % part, b"x") for one in entities for part in range(3)]], put)
        store.write(rows, [(one, b"x") for one in entities], put)
        assert store.delete(Table("p", "ledger@1"), [b"7%09d" % 2]) == 1  # the generation knows its suffix by itself
        assert (store.count(ledger), store.count(rows)) == (899, 300)
    slots = {}
    for node in nodes:
        with redis.Redis(port=node.port) as client:
            for key in client.scan_iter(match="gnomon:p:????????:*"):
                entity = key.partition(b"}")[2]
                entity = entity[:-9] if len(entity) > 9 else entity
                slots.setdefault(entity, set()).add(client.execute_command("CLUSTER KEYSLOT", key))
            for key in client.scan_iter(match="*:table:*"):
                assert client.get(key).startswith(b"2 " if b"ledger" in key else b"1 ")
    assert len(slots) == 300
    assert all(len(found) == 1 for found in slots.values())
    assert len(set.union(*slots.values())) == 64


def test_parts_do_not_expire(make, bare):
    with closing(make(key_ttl_seconds=1_000)) as store:
        store.replace(PARTED, [[(b"1h", counted_up(None)), (b"1a", counted_up(None))]], put)
        store.write(PARTED, [(b"3b", b"x")], put)
        store.amend(PARTED, [counted(b"1"), counted(b"2")])
        assert [bare.ttl(key) for key in bare.scan_iter()] == [-1] * bare.dbsize()
        assert store.count(PARTED) == 5
        single = Table("p", "rows@1")
        store.amend(single, [parts_put(b"1", {b"a": b"x"})])
        assert sorted(bare.ttl(key) > 990 for key in bare.scan_iter(match="*:1[ha]")) == [False] * 2 + [True] * 2


def test_an_entity_of_more_parts_than_a_script_unpacks_and_of_more_bytes_than_a_step(pair):
    store, _ = pair
    table = Table("p", "ledger@1", suffix=5)
    keys = [b"1%05d" % part for part in range(9_000)]

    def grown():
        yield keys[:1]
        return {key: counted_up(None) + key * 100 for key in keys}

    def shrunk():
        (guard, *_) = yield keys
        return {keys[0]: counted_up(guard), **dict.fromkeys(keys[1:])}

    store.amend(table, [grown])
    assert store.read([(table, keys)]) == [[counted_up(None) + key * 100 for key in keys]]
    assert store.count(table) == 9_000
    store.amend(table, [shrunk])
    assert store.count(table) == 1


# Servers and writers that fail


def test_wherever_the_wire_is_cut_entities_are_whole_and_doing_it_again_completes(server, store):
    def counted_to(entity, number):
        def change():
            (guard,) = yield [entity + b"h"]
            if int.from_bytes((guard or b"")[:16], "big") >= number:
                return {}
            value = number.to_bytes(16, "big") + bytes(500)
            return {entity + b"h": value, entity + b"a": value}

        return change

    def load(into, number):
        into.amend(PARTED, [counted_to(one, number) for one in [*ENTITIES, b"progress"]])

    with CuttingProxy(server.port) as wire:
        with closing(RedisStore({"connection_string": f"127.0.0.1:{wire.port}"})) as first:
            load(first, 1)
            ends = (wire.sent, wire.received)
        drawn, done, failed = random.Random(1), 0, []
        for number in range(2, 42):
            sent, received = (drawn.randrange(end) if number % 2 == way else None for way, end in enumerate(ends))
            wire.cut_after(sent=sent, received=received)
            wire.down_once_cut = number % 3 == 0  # else the next try gets through
            with closing(RedisStore({"connection_string": f"127.0.0.1:{wire.port}"})) as cut:
                try:
                    load(cut, number)
                    done += 1
                except BackendError as error:
                    failed.append(str(error))
            wire.down = False
            (progress,) = numbers(store, PARTED, [b"progress"])
            assert set(numbers(store, PARTED, ENTITIES)) <= {progress, number}
            load(store, number)
            assert set(numbers(store, PARTED, [*ENTITIES, b"progress"])) == {number}
            assert store.count(PARTED) == 2 * len(ENTITIES) + 2
    assert failed
    assert done
    assert all("cannot be reached" in told for told in failed)


def test_a_full_server_changes_entities_whole_or_not_at_all(store, bare):
    entities = [b"%d" % number for number in range(4_000)]
    store.amend(PARTED, [counted(one) for one in entities])
    bare.config_set("maxmemory", bare.info("memory")["used_memory"] + (3 << 20))
    bare.config_set("maxmemory-policy", "noeviction")
    with pytest.raises(BackendError, match="no memory left"):
        store.amend(PARTED, [parts_put(one, {b"a": b"x" * 2_000, b"b": b"x" * 2_000}) for one in entities])
    (found,) = store.read([(PARTED, [one + part for one in entities for part in (b"h", b"a", b"b")])])
    grown = [guard != counted_up(None) for guard in found[::3]]
    assert grown == [value == b"x" * 2_000 for value in found[1::3]] == [value is not None for value in found[2::3]]
    assert store.count(PARTED) == 8_000 + sum(grown)
    assert 0 < sum(grown) < 4_000


@pytest.mark.slow
def test_two_processes_amend_the_same_entities_and_lose_nothing(server, make):
    check_amend_race(REDIS, server.address, make, rounds=300)


@pytest.mark.slow
def test_entities_a_killed_writer_amended_are_whole(server, make, bare):
    check_killed_amends(REDIS, server.address, make, entities=1_500, times=16)
    with closing(make()) as store:
        assert rows_in_redis(bare) == store.count(PARTED) + 1
