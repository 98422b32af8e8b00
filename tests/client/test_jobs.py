"""Waiting for loads, and training sets that break off: nobody waits in earnest."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from misbehaving import Misbehaving, Reply

from gnomon.client import AsyncClient, Client
from gnomon.clock import ManualClock
from gnomon.errors import BackendError, ServerAway, SourceError


def job(status: str, **more: Any) -> Reply:
    return Reply(200, body={"id": "1-a", "status": status, "progress": [], **more})


class Waiter:
    """Notes pauses, and lets the clock go on by them."""

    def __init__(self) -> None:
        self.clock, self.pauses = ManualClock(), list[float]()

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.clock.set(self.clock.now() + round(seconds * 1_000_000))

    async def sleep_later(self, seconds: float) -> None:
        self.sleep(seconds)


def test_longer_and_longer_pauses_until_it_is_done() -> None:
    many = [job("running")] * 15
    for kind in ("sync", "async"):
        waiter = Waiter()
        with Misbehaving(job("queued"), *many, job("done", report={"rows": 5})) as server:
            if kind == "sync":
                with Client(server.url, clock=waiter.clock, sleep=waiter.sleep) as client:
                    done: Any = client.materialize_incremental().wait()
            else:

                async def ask(waiter: Waiter = waiter, url: str = server.url) -> Any:
                    async with AsyncClient(url, clock=waiter.clock, sleep=waiter.sleep_later) as client:
                        return await (await client.materialize_incremental()).wait()

                done = asyncio.run(ask())
        assert (done.status, done.report, repr(done).endswith("('1-a', 'done')")) == ("done", {"rows": 5}, True)
        assert len(waiter.pauses) == 16
        assert waiter.pauses == sorted(waiter.pauses)
        assert (waiter.pauses[0], waiter.pauses[-1]) == (0.1, 5.0)
        assert [one.path for one in server.requests[1:]] == ["/jobs/1-a"] * 16


def test_one_that_takes_too_long_goes_on() -> None:
    waiter = Waiter()
    with Misbehaving(job("running")) as server, Client(server.url, clock=waiter.clock, sleep=waiter.sleep) as client:
        begun = client.materialize(None, "2024-01-31", ["profile"], replace=True)
        with pytest.raises(BackendError, match=r"the load 1-a is running after 7\.5 seconds"):
            begun.wait(7.5)
    assert sum(waiter.pauses) == pytest.approx(7.5)
    asked = {"end_ts": "2024-01-31T00:00:00Z", "feature_views": ["profile"], "replace": True}
    assert server.requests[0].json == asked


def test_one_that_fails_raises_what_it_failed_with() -> None:
    error = {"type": "SourceError", "message": "file a is gone.", "hint": "bring it back."}
    with Misbehaving(job("failed", error=error)) as server, Client(server.url) as client:
        with pytest.raises(SourceError, match=r"file a is gone\.") as caught:
            client.job("1-a").wait()
        assert caught.value.hint == "bring it back."
    with Misbehaving(job("failed")) as server, Client(server.url) as client:
        failed = client.job("1-a")
    with pytest.raises(BackendError, match="the load 1-a failed"):
        failed.wait()


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_file_appears_whole_or_not_at_all(tmp_path: Path, kind: str) -> None:
    question = (tmp_path / "a.parquet", {"user_id": [1]}, ["v:f"])
    with Misbehaving(Reply(200, body=b"x" * 100_000, cut=50_000), Reply(200, body=b"whole")) as server:

        def persist() -> Path:
            if kind == "sync":
                with Client(server.url) as client:
                    return client.persist_historical_features(*question)

            async def ask() -> Path:
                async with AsyncClient(server.url) as client:
                    return await client.persist_historical_features(*question)

            return asyncio.run(ask())

        with pytest.raises(ServerAway, match="does not answer"):
            persist()
        assert list(tmp_path.iterdir()) == []
        assert persist().read_bytes() == b"whole"
