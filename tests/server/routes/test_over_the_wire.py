"""The app behind a real server and real sockets: clients that are slow, that go away, and answers that break off."""

from __future__ import annotations

import io
import logging
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest
import uvicorn
from prometheus_client.parser import text_string_to_metric_families
from served import NOW, Client, context_of
from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.routing import Mount, Route
from waiting import until

from gnomon import FeatureStore
from gnomon.server.metrics.counted import Counted
from gnomon.server.routes.door import Door
from gnomon.server.routes.tables import ARROW

ROWS = 1_000_000


@contextmanager
def serving(app: Any) -> Iterator[str]:
    """Serve an app on a free port; gives its address."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    listening = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    until(lambda: server.started)
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(60)
        listening.close()


@pytest.fixture
def metrics(tmp_path: Path) -> Iterator[Counted]:
    metrics = Counted(tmp_path / "run")
    yield metrics
    metrics.close()


@pytest.fixture
def client(store: FeatureStore, metrics: Counted) -> Iterator[Client]:
    client = Client(context_of(store, metrics=metrics))
    yield client
    client.close()


def asked() -> dict[str, Any]:
    """A question whose answer fills the sockets between."""
    keys = pa.array([1], pa.int64()).take(pa.array([0] * ROWS))
    stamps = pa.array([NOW], pa.timestamp("us", "UTC")).take(pa.array([0] * ROWS))
    table = pa.table({"user_id": keys.dictionary_encode(), "event_timestamp": stamps})
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table)
    params = {"features": ["profile:age", "profile:city"]}
    return {"content": sink.getvalue(), "headers": {"content-type": ARROW}, "params": params}


def counted(metrics: Counted) -> dict[tuple[str, str], float]:
    samples = [one for family in text_string_to_metric_families(metrics.text()) for one in family.samples]
    return {
        (one.labels["route"], one.labels["status"]): one.value for one in samples if one.name.endswith("requests_total")
    }


def test_a_client_that_takes_its_time_holds_nobody_up(client: Client) -> None:
    with serving(client.app) as address, httpx.stream("POST", f"{address}/features/batch", **asked()) as answer:
        assert answer.status_code == 200
        chunks = answer.iter_raw()
        first = next(chunks)
        for _ in range(20):
            assert httpx.get(f"{address}/features", timeout=10).status_code == 200
        body = first + b"".join(chunks)
    assert len(pa.ipc.open_stream(body).read_all()) == ROWS


def test_a_client_that_goes_away_is_no_error(
    client: Client, metrics: Counted, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(client.app) as address, caplog.at_level(logging.WARNING):
        with httpx.stream("POST", f"{address}/features/batch", **asked()) as answer:
            next(answer.iter_raw())
        until(lambda: counted(metrics).get(("/features/batch", "499")))
        assert httpx.get(f"{address}/features").status_code == 200
    assert caplog.records == []


def test_a_client_that_goes_away_in_the_middle_of_its_question(
    client: Client, metrics: Counted, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(client.app) as address, caplog.at_level(logging.WARNING):
        host, port = address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as half:
            half.sendall(b"POST /push HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{")
            until(lambda: "in_flight 1" in metrics.text())
        until(lambda: counted(metrics).get(("/push", "499")))
    assert caplog.records == []


def test_an_answer_that_fails_half_way_breaks_off(metrics: Counted, caplog: pytest.LogCaptureFixture) -> None:
    async def broken(request: Any) -> StreamingResponse:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"the first half"
            raise KeyError("the source is gone")

        return StreamingResponse(pieces())

    app = Door(Starlette(routes=[Route("/", broken)]), metrics)
    with serving(app) as address, caplog.at_level(logging.ERROR), pytest.raises(httpx.RemoteProtocolError):
        httpx.get(address)
    assert "the source is gone" in caplog.text
    assert counted(metrics) == {("/", "500"): 1}


def test_the_page_of_the_routes_needs_nothing_from_elsewhere(client: Client) -> None:
    with serving(client.app) as address:
        page = httpx.get(f"{address}/docs").text
        assert "http://" not in page
        assert "https://" not in page
        for path in ("/docs/assets/swagger-ui-bundle.js", "/docs/assets/swagger-ui.css", "/docs/assets/favicon.png"):
            assert path in page
            assert httpx.get(address + path).status_code == 200


def test_the_app_in_an_app_of_somebody_else(client: Client) -> None:
    own = Starlette(routes=[Mount("/features-of-ours", client.app)])
    with serving(own) as address:
        address += "/features-of-ours"
        assert httpx.get(f"{address}/features").json()["total"] == 4
        begun = httpx.post(f"{address}/materialize", json={"feature_views": ["profile"]})
        job = httpx.get(address.removesuffix("/features-of-ours") + begun.headers["location"])
        assert job.json()["id"] == begun.json()["id"]
        assert '"/features-of-ours/docs/assets/swagger-ui.css"' in httpx.get(f"{address}/docs").text
        assert httpx.get(f"{address}/docs/assets/swagger-ui.css").status_code == 200
        assert isinstance(httpx.get(f"{address}/push").json(), str), "Feast's shape here, too"
