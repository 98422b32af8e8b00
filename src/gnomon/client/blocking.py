"""The client for programs that wait."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
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

__all__ = ["Client", "Job"]

T = TypeVar("T")


class Client:
    """Asks a gnomon server. It may be shared by threads; close it at the end.

    Args:
        base_url: the server's address.
        api_key: an API key, or a token of an identity provider; or a function that gives the one that is good now.
        timeout: seconds that an online read may take, each time it is tried.
        slow_timeout: seconds that anything else may take.
        retries: how often is asked again.
        connections: how many at most.
        headers: header fields of every request.
        model_id: which model asks, for the log of what was served.
        producer: what the log tells this client's pushes by, the same after a restart; no two clients that push at one
            time may share it. By default a random one.
        http: an httpx client to send with: for proxies, certificates; it is not closed.
        clock: says what time it is.
        sleep: waits some seconds.
        chance: spreads pauses.

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
        http: httpx.Client | None = None,
        clock: Clock | None = None,
        sleep: Callable[[float], object] = time.sleep,
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
        self._http = httpx.Client(**self._connection.options) if http is None else http
        self._sleep = sleep

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._connection.base_url!r})"

    def get_online_features(
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
        """The features of some entities as of now.

        Args:
            features: references such as `profile:age`, or a service, or its name.
            entity_rows: one dict of join keys per entity, a dict of lists, or a table.
            full_feature_names: name the answers `view__feature`.
            known_through: whether the answer shall say what it was made of.
            lean: leave out statuses and event timestamps.
            arrow: let it come as Arrow, every value in its feature's type; needs pyarrow.
            request_id: what the question is called; by default a new name.
            prediction_id: what it is asked for, for the log of what was served.

        Raises:
            RequestError: the question cannot be understood.
            NotRegistered: a view or a service is unknown.
            UnknownFeature: a view has no such feature.
            AccessDenied: the key is missing, or not good for this.
            RateLimited: the key allows no more for now.
            ServerAway: the server does not answer.
            BackendError: it cannot answer.
        """
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
        return self._ask(call)

    def push(
        self,
        push_source_name: str,
        df: Any,
        to: str = "online_and_offline",
        *,
        offsets: Mapping[str, int] | None = None,
    ) -> Pushed:
        """Append events to a push source's log; sent again where no answer came, and never appended twice.

        Args:
            push_source_name: the source.
            df: the events: a list of dicts, a dict of lists, a table.
            to: "online_and_offline", "offline", or "online", which no log has, so that it is not sent again.
            offsets: producer → the offset of its last event among these; by default one of the client's own.

        Raises:
            RequestError: the events do not fit the source.
            NotRegistered: there is no such source.
            ServerAway: no answer came; whether they were appended is not known. `offsets` on the error are those with
                which the same events can be pushed once more.
        """
        if offsets is not None:
            return self._ask(calls.push(push_source_name, df, to, offsets, own=False))
        lane, own = self._connection.lanes.take()
        try:
            done = self._ask(calls.push(push_source_name, df, to, own, own=True))
        except GnomonError as wrong:
            self._connection.lanes.failed(lane, own, wrong)
            raise
        self._connection.lanes.give_back(lane)
        return done

    def write_to_online_store(self, feature_view_name: str, df: Any) -> Pushed:
        """Write rows of a view whose source is a push source, through its log. It is not sent again.

        Args:
            feature_view_name: the view.
            df: the rows: a list of dicts, a dict of lists, a table.

        Raises:
            RequestError: the rows do not fit, or the view has no log.
        """
        return self._ask(calls.write(feature_view_name, df))

    def materialize(
        self, start_date: Any, end_date: Any, feature_views: Iterable[str] | None = None, *, replace: bool = False
    ) -> Job:
        """Begin to load what happened or became known between two instants.

        Args:
            start_date: the first instant; None for the beginning.
            end_date: rows that happened after it are left for later; None for now.
            feature_views: names of views; all that are online by default.
            replace: put the load in place of all that is there.

        Raises:
            ConflictError: another load is under way.
        """
        instants = {"start_ts": start_date, "end_ts": end_date}
        return Job(self, self._ask(calls.load("/materialize", feature_views, instants, replace=replace)))

    def materialize_incremental(self, end_date: Any = None, feature_views: Iterable[str] | None = None) -> Job:
        """Begin to load what happened or became known since each view's last load.

        Args:
            end_date: rows that happened after it are left for later; by default now.
            feature_views: names of views; all that are online by default.

        Raises:
            ConflictError: another load is under way.
        """
        return Job(self, self._ask(calls.load("/materialize-incremental", feature_views, {"end_ts": end_date})))

    def job(self, job_id: str) -> Job:
        """A load that was begun.

        Raises:
            RequestError: there is none of that id.
        """
        return Job(self, self._ask(calls.job(job_id)))

    def get_historical_features(
        self,
        entity_df: Any,
        features: Wanted,
        *,
        as_known: Any = "now",
        full_feature_names: bool = False,
        strict: bool = False,
    ) -> HistoricalFeatures:
        """The features of every row asked, each as of its own instant: as Arrow where pyarrow is installed.

        Args:
            entity_df: join keys and `event_timestamp`: a dict of lists, a list of dicts, a table.
            features: references such as `profile:age`, or a service, or its name.
            as_known: "now" for all hindsight, "then" for what serving could have answered, an instant, or the token of
                an online answer.
            full_feature_names: name the answers `view__feature`.
            strict: raise where a value is more than its type can hold.

        Raises:
            RequestError: the question cannot be understood, or has too many rows.
        """
        return self._ask(
            calls.historical(
                entity_df,
                features,
                accept=training_accept(),
                as_known=as_known,
                full_feature_names=full_feature_names,
                strict=strict,
            )
        )

    def persist_historical_features(
        self,
        path: str | Path,
        entity_df: Any,
        features: Wanted,
        *,
        as_known: Any = "now",
        full_feature_names: bool = False,
        strict: bool = False,
    ) -> Path:
        """The same into a file, whole or not at all, without passing through memory.

        Args:
            path: a `.parquet` file, or one for an Arrow stream: `.arrows`.
            entity_df: as above.
            features: as above.
            as_known: as above.
            full_feature_names: as above.
            strict: as above.

        Raises:
            RequestError: the question cannot be understood, or the path says neither.
            ServerAway: the answer broke off; there is no file.
        """
        call = calls.historical(
            entity_df,
            features,
            accept=accepted(path),
            as_known=as_known,
            full_feature_names=full_feature_names,
            strict=strict,
        )
        response = self._connection.response(call, self._sent(call, stream=True))
        with closing(response), saving(path, self._connection.base_url) as file:
            for piece in response.iter_bytes():
                file.write(piece)
        return Path(path)

    def features(self, **filters: Any) -> list[dict[str, Any]]:
        """The features there are, each as a document.

        Args:
            filters: `view`, `entity`, `service`, `owner`, `tag`, `online` or `search`.
        """
        found: list[dict[str, Any]] = []
        while True:
            page = self._ask(calls.features(filters, len(found)))
            found += page["features"]
            if len(found) >= page["total"] or not page["features"]:
                return found

    def feature(self, name: str) -> dict[str, Any]:
        """All there is to say of a feature, `view:feature`.

        Raises:
            UnknownFeature: there is none.
        """
        found: dict[str, Any] = self._ask(calls.feature(name))
        return found

    def lineage(
        self, feature: str, entity: Mapping[str, Any] | None = None, *, at: Any = None, as_known: Any = "now"
    ) -> dict[str, Any]:
        """What a feature comes from and who uses it; with an entity, the events that its value is made of."""
        found: dict[str, Any] = self._ask(calls.lineage(feature, entity, at, as_known))
        return found

    def explain(
        self, feature: str, entity: Mapping[str, Any], *, at: Any = None, as_known: Any = "now"
    ) -> dict[str, Any]:
        """Why a feature of an entity has the value it has."""
        found: dict[str, Any] = self._ask(calls.explain(feature, entity, at, as_known))
        return found

    def register(
        self, definitions: Iterable[Any], *, expected_version: int | None = None, dry_run: bool = False
    ) -> dict[str, Any]:
        """Register definitions, and say what changed.

        Args:
            definitions: definitions, or their documents.
            expected_version: the registry version this was decided on; by default the newest.
            dry_run: only say what would change.

        Raises:
            DefinitionError: one is wrong, or may not come this way.
            ConflictError: somebody else applied since.
        """
        found: dict[str, Any] = self._ask(calls.register(definitions, expected_version, dry_run=dry_run))
        return found

    def health(self) -> dict[str, Any]:
        """How the server is: `status` is `ready`, or `not ready` with `reasons`.

        Raises:
            ServerAway: it does not answer.
        """
        found: dict[str, Any] = self._ask(calls.health())
        return found

    def metrics(self) -> str:
        """What the server counts, as Prometheus reads it."""
        return self._ask(calls.metrics())

    def close(self) -> None:
        """Close connections."""
        if self._owned:
            self._http.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _ask(self, call: Call[T]) -> T:
        return self._connection.answered(call, self._sent(call))

    def _sent(self, call: Call[Any], *, stream: bool = False) -> Outcome:
        if self._http.is_closed:
            raise closed(self._connection.base_url)
        request = self._connection.request(self._http.build_request, call)
        steps = self._connection.tried(call)
        step = next(steps)
        try:
            while True:
                if step is None:
                    step = steps.send(self._send(request, call, stream))
                else:
                    self._sleep(step)
                    step = next(steps)
        except StopIteration as done:
            outcome: Outcome = done.value
            return outcome

    def _send(self, request: httpx.Request, call: Call[Any], stream: bool) -> Outcome:
        try:
            response = self._http.send(request, stream=stream)
            if stream and not call.is_answered(response):
                response.read()
            return response
        except httpx.TransportError as error:
            return error


class Job(JobDocument):
    """A load that a server has begun.

    Args:
        client: asks about it.
        document: what is known of it.
    """

    def __init__(self, client: Client, document: dict[str, Any]) -> None:
        super().__init__(document)
        self._client = client

    def refresh(self) -> Job:
        """Look how it gets on."""
        self.document = self._client._ask(calls.job(self.id))
        return self

    def wait(self, timeout: float | None = None) -> Job:
        """Wait until it is done.

        Args:
            timeout: seconds to wait at most; by default however long it takes.

        Raises:
            BackendError: it takes longer.
            GnomonError: it failed: the error it failed with.
        """
        waiting = Waiting(self._client._connection.clock, timeout)
        while not self.is_over:
            self._client._sleep(waiting.pause(self))
            self.refresh()
        self.raise_failure()
        return self
