"""The client for programs with an event loop: the same questions, each awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import aclosing
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any, TypeVar

import httpx

from gnomon.client import calls
from gnomon.client.answers import HistoricalFeatures, OnlineFeatures, Pushed
from gnomon.client.attempts import Outcome, Retries
from gnomon.client.calls import Call, Wanted
from gnomon.client.connection import Connection, Key
from gnomon.client.jobs import JobDocument, Waiting
from gnomon.client.problems import closed
from gnomon.client.saving import accepted, saving, training_accept
from gnomon.clock import Clock, SystemClock
from gnomon.errors import GnomonError

__all__ = ["AsyncClient", "AsyncJob"]

T = TypeVar("T")


class AsyncClient:
    """Asks a gnomon server, as `Client` does: with the same arguments and methods, each of which is awaited.

    It belongs to one event loop; close it at the end.

    Args:
        base_url, api_key, timeout, slow_timeout, retries, connections, headers: as `Client` has them.
        model_id, producer, clock, chance: as `Client` has them.
        http: an httpx client to send with; it is not closed.
        sleep: waits some seconds.

    Raises:
        RequestError: the address is none.
    """

    def __init__(
        self,
        base_url: str = "http://127.0.0.1:6566",
        *,
        api_key: Key = None,
        timeout: float = 5.0,
        slow_timeout: float = 300.0,
        retries: Retries | None = None,
        connections: int = 100,
        headers: Mapping[str, str] | None = None,
        model_id: str | None = None,
        producer: str | None = None,
        http: httpx.AsyncClient | None = None,
        clock: Clock | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        chance: Random | None = None,
    ) -> None:
        self._connection = Connection(
            base_url=str(base_url).rstrip("/"),
            api_key=api_key,
            timeout=timeout,
            slow_timeout=slow_timeout,
            connections=connections,
            retries=Retries() if retries is None else retries,
            headers=headers or {},
            model_id=model_id,
            producer=producer,
            clock=SystemClock() if clock is None else clock,
            chance=Random() if chance is None else chance,
        )
        self._owned = http is None
        self._http = httpx.AsyncClient(**self._connection.options) if http is None else http
        self._sleep = sleep

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._connection.base_url!r})"

    async def get_online_features(
        self,
        features: Wanted,
        entity_rows: Any,
        *,
        full_feature_names: bool = False,
        known_through: bool = False,
        lean: bool = False,
        arrow: bool = False,
        request_id: str | None = None,
        prediction_id: str | None = None,
    ) -> OnlineFeatures:
        """The features of some entities as of now."""
        ids = self._connection.ids(request_id, prediction_id)
        call = calls.online(
            features,
            entity_rows,
            full_feature_names=full_feature_names,
            known_through=known_through,
            lean=lean,
            arrow=arrow,
            ids=ids,
        )
        return await self._ask(call)

    async def push(
        self,
        push_source_name: str,
        df: Any,
        to: str = "online_and_offline",
        *,
        offsets: Mapping[str, int] | None = None,
    ) -> Pushed:
        """Append events to a push source's log; sent again where no answer came, and never appended twice."""
        if offsets is not None:
            return await self._ask(calls.push(push_source_name, df, to, offsets, own=False))
        lane, own = self._connection.lanes.take()
        try:
            done = await self._ask(calls.push(push_source_name, df, to, own, own=True))
        except GnomonError as wrong:
            self._connection.lanes.failed(lane, own, wrong)
            raise
        self._connection.lanes.give_back(lane)
        return done

    async def write_to_online_store(self, feature_view_name: str, df: Any) -> Pushed:
        """Write rows of a view whose source is a push source, through its log. It is not sent again."""
        return await self._ask(calls.write(feature_view_name, df))

    async def materialize(
        self, start_date: Any, end_date: Any, feature_views: Iterable[str] | None = None, *, replace: bool = False
    ) -> AsyncJob:
        """Begin to load what happened or became known between two instants."""
        instants = {"start_ts": start_date, "end_ts": end_date}
        return AsyncJob(self, await self._ask(calls.load("/materialize", feature_views, instants, replace=replace)))

    async def materialize_incremental(
        self, end_date: Any = None, feature_views: Iterable[str] | None = None
    ) -> AsyncJob:
        """Begin to load what happened or became known since each view's last load."""
        return AsyncJob(
            self, await self._ask(calls.load("/materialize-incremental", feature_views, {"end_ts": end_date}))
        )

    async def job(self, job_id: str) -> AsyncJob:
        """A load that was begun."""
        return AsyncJob(self, await self._ask(calls.job(job_id)))

    async def get_historical_features(
        self,
        entity_df: Any,
        features: Wanted,
        *,
        as_known: Any = "now",
        full_feature_names: bool = False,
        strict: bool = False,
    ) -> HistoricalFeatures:
        """The features of every row asked, each as of its own instant: as Arrow where pyarrow is installed."""
        return await self._ask(
            calls.historical(
                entity_df,
                features,
                accept=training_accept(),
                as_known=as_known,
                full_feature_names=full_feature_names,
                strict=strict,
            )
        )

    async def persist_historical_features(
        self,
        path: str | Path,
        entity_df: Any,
        features: Wanted,
        *,
        as_known: Any = "now",
        full_feature_names: bool = False,
        strict: bool = False,
    ) -> Path:
        """The same into a file, whole or not at all, without passing through memory."""
        call = calls.historical(
            entity_df,
            features,
            accept=accepted(path),
            as_known=as_known,
            full_feature_names=full_feature_names,
            strict=strict,
        )
        response = self._connection.response(call, await self._sent(call, stream=True))
        async with aclosing(response):
            with saving(path, self._connection.base_url) as file:
                async for piece in response.aiter_bytes():
                    await asyncio.to_thread(file.write, piece)
        return Path(path)

    async def features(self, **filters: Any) -> list[dict[str, Any]]:
        """The features there are, each as a document."""
        found: list[dict[str, Any]] = []
        while True:
            page = await self._ask(calls.features(filters, len(found)))
            found += page["features"]
            if len(found) >= page["total"] or not page["features"]:
                return found

    async def feature(self, name: str) -> dict[str, Any]:
        """All there is to say of a feature, `view:feature`."""
        found: dict[str, Any] = await self._ask(calls.feature(name))
        return found

    async def lineage(
        self, feature: str, entity: Mapping[str, Any] | None = None, *, at: Any = None, as_known: Any = "now"
    ) -> dict[str, Any]:
        """What a feature comes from and who uses it; with an entity, the events that its value is made of."""
        found: dict[str, Any] = await self._ask(calls.lineage(feature, entity, at, as_known))
        return found

    async def explain(
        self, feature: str, entity: Mapping[str, Any], *, at: Any = None, as_known: Any = "now"
    ) -> dict[str, Any]:
        """Why a feature of an entity has the value it has."""
        found: dict[str, Any] = await self._ask(calls.explain(feature, entity, at, as_known))
        return found

    async def register(
        self, definitions: Iterable[Any], *, expected_version: int | None = None, dry_run: bool = False
    ) -> dict[str, Any]:
        """Register definitions, and say what changed."""
        found: dict[str, Any] = await self._ask(calls.register(definitions, expected_version, dry_run=dry_run))
        return found

    async def health(self) -> dict[str, Any]:
        """How the server is: `status` is `ready`, or `not ready` with `reasons`."""
        found: dict[str, Any] = await self._ask(calls.health())
        return found

    async def metrics(self) -> str:
        """What the server counts, as Prometheus reads it."""
        return await self._ask(calls.metrics())

    async def close(self) -> None:
        """Close connections."""
        if self._owned:
            await self._http.aclose()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()

    async def _ask(self, call: Call[T]) -> T:
        return self._connection.answered(call, await self._sent(call))

    async def _sent(self, call: Call[Any], *, stream: bool = False) -> Outcome:
        if self._http.is_closed:
            raise closed(self._connection.base_url)
        request = self._connection.request(self._http.build_request, call)
        steps = self._connection.tried(call)
        step = next(steps)
        try:
            while True:
                if step is None:
                    step = steps.send(await self._send(request, call, stream))
                else:
                    await self._sleep(step)
                    step = next(steps)
        except StopIteration as done:
            outcome: Outcome = done.value
            return outcome

    async def _send(self, request: httpx.Request, call: Call[Any], stream: bool) -> Outcome:
        try:
            response = await self._http.send(request, stream=stream)
            if stream and not call.is_answered(response):
                await response.aread()
            return response
        except httpx.TransportError as error:
            return error


class AsyncJob(JobDocument):
    """A load that a server has begun."""

    def __init__(self, client: AsyncClient, document: dict[str, Any]) -> None:
        super().__init__(document)
        self._client = client

    async def refresh(self) -> AsyncJob:
        """Look how it gets on."""
        self.document = await self._client._ask(calls.job(self.id))
        return self

    async def wait(self, timeout: float | None = None) -> AsyncJob:
        """Wait until it is done."""
        waiting = Waiting(self._client._connection.clock, timeout)
        while not self.is_over:
            await self._client._sleep(waiting.pause(self))
            await self.refresh()
        self.raise_failure()
        return self
