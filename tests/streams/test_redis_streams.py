"""Redis streams, on a real server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from payments import Heard, check_each_once, letters, logged, message, of_redis, opened, payment, run
from redis_server import Server, redis_server  # noqa: F401
from waiting import until

from gnomon.contracts.streams import Room
from gnomon.errors import BackendError, BrokerAway, ConflictError, SourceError
from gnomon.flows.stream import Stop
from gnomon.flows.worker import Limits
from gnomon.streams.redis_streams import LEASE_MS, id_of, offset_of
from gnomon.types import Bool, Float64, Int64, UnixTimestamp

redis = pytest.importorskip("redis")


@pytest.fixture
def client(redis_server: Server) -> Iterator[Any]:  # noqa: F811
    with redis.Redis(port=redis_server.port) as client:
        client.flushall()
        yield client


def add(client: Any, *numbers: int) -> None:
    with client.pipeline() as pipe:
        for number in numbers:
            pipe.xadd("pay", {"json": message(number)})
        pipe.execute()


@pytest.mark.parametrize("text", ["0-0", "0-1", "1-0", "1700000000000-0", f"{2**43 - 1}-{2**20 - 1}"])
def test_ids_are_offsets_in_their_order(text: str) -> None:
    assert id_of(offset_of(text)) == text


def test_an_id_of_ones_own_that_is_too_large_is_refused() -> None:
    assert offset_of("1-1048575") < offset_of("2-0")
    for text in (f"{2**43}-0", "1-1048576"):
        with pytest.raises(BackendError, match="let Redis give ids"):
            offset_of(text)


def test_entries_become_events_once(client: Any, redis_server: Server, tmp_path: Path) -> None:  # noqa: F811
    add(client, *range(1_000))
    with opened(tmp_path, of_redis(redis_server.address, "pay")) as store:
        assert run(store).appended == 1_000
        add(client, *range(1_000, 1_010))
        assert run(store).appended == 10
        assert run(store).appended == 0
        check_each_once(store, range(1_010))
        last = client.xinfo_stream("pay")["last-generated-id"]
        assert store.logs.log("payments").offsets() == {"pay": offset_of(last)}
        (group,) = client.xinfo_groups("pay")
        assert (group["name"], group["last-delivered-id"]) == (f"gnomon.{store.project}.payments".encode(), last)
        (told,) = store.stream_positions()
        assert (told.partition, told.lag) == ("pay", 0)
    assert client.keys("gnomon:*") == []


def test_fields_of_an_entry_are_columns(client: Any, redis_server: Server, tmp_path: Path) -> None:  # noqa: F811
    entries = [
        {"user_id": "7", "amount": "1.5", "at": "2024-01-01T12:00:00Z", "id": "a", "more": "x"},
        {"user_id": "8", "amount": "", "at": "2024-01-01T12:00:00+01:00"},
        {"user_id": "8", "amount": "much", "at": "2024-01-01"},
        {"user_id": b"\xff", "at": "2024-01-01"},
    ]
    for one in entries:
        client.xadd("pay", one)
    heard = Heard()
    with opened(tmp_path, of_redis(redis_server.address, "pay", field="")) as store:
        report = run(store, heard)
        assert [(row["user_id"], row["amount"], row["id"]) for row in logged(store)] == [(7, 1.5, "a"), (8, None, None)]
        reasons = [row["reason"] for row in letters(store)]
    assert (report.appended, report.rejected) == (2, 2)
    assert reasons[0] == "'amount': 'much' is no Float64 without loss"
    assert reasons[1].startswith("no text: 'utf-8'")
    assert heard.about("no columns for: more")


def test_a_stream_that_is_not_there_is_an_error_at_the_start(
    client: Any,
    redis_server: Server,  # noqa: F811
    tmp_path: Path,
) -> None:
    add(client, 1)
    with (
        opened(tmp_path, of_redis(redis_server.address, "paid")) as store,
        pytest.raises(SourceError, match=r"no Redis stream paid at .*\nThere are: pay\.\n"),
    ):
        run(store)


def test_a_key_that_is_no_stream_is_an_error(client: Any, redis_server: Server, tmp_path: Path) -> None:  # noqa: F811
    client.set("pay", "money")
    with (
        opened(tmp_path, of_redis(redis_server.address, "pay")) as store,
        pytest.raises(BackendError, match="is that key a stream"),
    ):
        run(store)


def test_a_stream_made_anew_is_not_taken_for_the_old_one(
    client: Any,
    redis_server: Server,  # noqa: F811
    tmp_path: Path,
) -> None:
    add(client, 1)
    with opened(tmp_path, of_redis(redis_server.address, "pay")) as store:
        run(store)
        client.delete("pay")
        client.xadd("pay", {"json": message(2)}, id="1-1")
        with pytest.raises(BackendError, match="ends at 1-1, and the log has it up to"):
            run(store)


def test_entries_trimmed_unread_are_told_of(client: Any, redis_server: Server, tmp_path: Path) -> None:  # noqa: F811
    add(client, 1)
    heard = Heard()
    with opened(tmp_path, of_redis(redis_server.address, "pay")) as store:
        run(store)
        add(client, 2, 3, 4)
        client.xtrim("pay", maxlen=1, approximate=False)
        assert run(store, heard).appended == 1
    assert heard.about("has been trimmed; if others came before")


def test_a_worker_stands_by_until_the_other_is_gone(
    client: Any,
    redis_server: Server,  # noqa: F811
    tmp_path: Path,
) -> None:
    add(client, 1)
    stops = [Stop(), Stop()]
    with opened(tmp_path, of_redis(redis_server.address, "pay")) as one, opened(tmp_path) as two:
        threads = [
            threading.Thread(target=run, args=(store,), kwargs={"once": False, "around": {"stop": stop}})
            for store, stop in zip((one, two), stops, strict=True)
        ]
        for thread in threads:
            thread.start()
        until(lambda: one.logs.log("payments").position() == 1)
        first = client.get(f"gnomon:{one.project}:payments:reader")
        add(client, *range(2, 50))
        until(lambda: one.logs.log("payments").position() == 49)
        stops[0].set()
        stops[1].set()
        for thread in threads:
            thread.join()
        check_each_once(one, range(1, 50))
    assert first is not None


def test_a_second_worker_of_the_same_name_is_told(
    client: Any,
    redis_server: Server,  # noqa: F811
    tmp_path: Path,
) -> None:
    add(client, 1)
    lease = f"gnomon:{tmp_path.name}:payments:reader"
    stop = threading.Event()

    def renew() -> None:
        while not stop.wait(0.3):
            client.set(lease, "w1|another", px=LEASE_MS)

    with opened(tmp_path, of_redis(redis_server.address, "pay")) as store:
        lease = f"gnomon:{store.project}:payments:reader"
        client.set(lease, "w1|another", px=LEASE_MS)
        thread = threading.Thread(target=renew)
        thread.start()
        try:
            with pytest.raises(ConflictError, match="another worker named 'w1' reads Redis stream pay"):
                run(store, worker="w1", once=False)
        finally:
            stop.set()
            thread.join()


def test_a_lease_runs_out(client: Any, redis_server: Server, tmp_path: Path) -> None:  # noqa: F811
    add(client, 1)
    with opened(tmp_path, of_redis(redis_server.address, "pay")) as store:
        client.set(f"gnomon:{store.project}:payments:reader", "w1|this one before it was killed", px=700)
        stop = Stop()
        thread = threading.Thread(target=run, args=(store,), kwargs={"once": False, "around": {"stop": stop}})
        thread.start()
        until(lambda: store.logs.log("payments").position() == 1)
        stop.set()
        thread.join()


def test_a_server_that_is_away_is_waited_for_and_in_the_end_not(tmp_path: Path) -> None:
    heard = Heard()
    with Server("redis") as server, redis.Redis(port=server.port) as client:
        add(client, *range(5))
        with opened(tmp_path, of_redis(server.address, "pay")) as store:
            run(store)
            server.kill()
            away = r"Redis stream pay at .* does not answer: .*\nHint: is the server"
            with pytest.raises(BrokerAway, match=away):
                run(store, heard, around={"limits": Limits(patience=0.3)})
            server.start()
            add(client, *range(5, 9))
            run(store)
            check_each_once(store, range(9))
    assert heard.about("Trying again for 300ms.")


def test_a_batch_is_bounded_by_bytes(client: Any, redis_server: Server, tmp_path: Path) -> None:  # noqa: F811
    for number in range(40):
        client.xadd("pay", {"json": message(number, note="x" * 100_000)})
    limits = Limits(room=Room(messages=1_000, size=1 << 20))
    with opened(tmp_path, of_redis(redis_server.address, "pay")) as store:
        assert run(store, around={"limits": limits}).batches >= 4
        check_each_once(store, range(40))


def test_types_are_read_from_texts() -> None:
    import pyarrow as pa

    from gnomon.flows.decoding import _meant

    def read(texts: list[str | None], dtype: Any) -> list[Any]:
        return [value for piece in _meant(pa.chunked_array([texts]), dtype) for value in piece.to_pylist()]

    assert read(["1", None, ""], Int64) == [1, None, None]
    assert read(["1", "1.5"], Float64) == [1.0, 1.5]
    assert read(["true", "0", "x"], Bool) == [True, False, "x"]
    assert read(["2024-01-01"], UnixTimestamp) == ["2024-01-01"]
    assert payment(3)["id"] == "e3"
