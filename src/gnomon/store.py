"""FeatureStore: the one object a user holds. Each method is a line or three into a flow."""

from __future__ import annotations

import getpass
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from gnomon.clock import Clock, SystemClock, to_micros
from gnomon.config import ERASURES, REJECTED, SERVED, RepoConfig, load
from gnomon.contracts import plugins
from gnomon.contracts.engine import Engine
from gnomon.contracts.keys import ApiKey, KeyStore
from gnomon.contracts.log import Logs, LogStatus, Merged
from gnomon.contracts.online import OnlineStore
from gnomon.contracts.registry import Commit, Registry, Run, Snapshot
from gnomon.core.functions import Code
from gnomon.definitions.catalog import Catalog
from gnomon.definitions.entities import Entity
from gnomon.definitions.on_demand import OnDemandFeatureView
from gnomon.definitions.services import FeatureService
from gnomon.definitions.sources import PushSource, Source
from gnomon.definitions.views import FeatureView
from gnomon.errors import ConfigError, DefinitionError, NotRegistered, RequestError

if TYPE_CHECKING:
    import pyarrow as pa

    from gnomon.flows.apply import Plan
    from gnomon.flows.erase import ErasureReport
    from gnomon.flows.erasures import Erasure
    from gnomon.flows.explanation import Explanation
    from gnomon.flows.feed import Feeder
    from gnomon.flows.ingest import PushReport
    from gnomon.flows.keep import TrimReport
    from gnomon.flows.keys import NewKey
    from gnomon.flows.lag import SourceLag
    from gnomon.flows.materialize import Loader, Progress, Report
    from gnomon.flows.read import OnlineResponse, Reader
    from gnomon.flows.recorder import Recorder, ServedStats
    from gnomon.flows.served_log import ServedLog
    from gnomon.flows.stream import Setting, StreamPosition, StreamReport
    from gnomon.flows.training import TrainingSet
    from gnomon.flows.verdicts import VerifyReport
    from gnomon.flows.verify import Verifier
    from gnomon.plan.known_through import KnownThrough
    from gnomon.plan.lineage import Lineage
    from gnomon.plan.references import Features

Named = TypeVar("Named")

Instant = datetime | str | int
"""A datetime (naive is UTC), an ISO-8601 text, or µs since the epoch."""


class FeatureStore:
    """A project's features: its definitions, its history, its online store.

    Args:
        repo_path: the folder of `feature_store.yaml`; without that file, everything lives in `repo_path/.gnomon`.
        config: the configuration, if it should not be read from `repo_path`.
        clock: says what time it is; every "now" comes from it.

    Raises:
        ConfigError: the configuration cannot be followed.
        BackendError: a store cannot be opened.
    """

    def __init__(
        self, repo_path: str | Path = ".", *, config: RepoConfig | None = None, clock: Clock | None = None
    ) -> None:
        self.repo_path = Path(repo_path).absolute()
        self.config = load(self.repo_path) if config is None else config
        self.clock = SystemClock() if clock is None else clock
        self._known: tuple[Snapshot, int] | None = None
        self._fed: Feeder | None = None
        self._sought: set[Code] = set()

    def __repr__(self) -> str:
        return f"FeatureStore({self.project!r} at {str(self.repo_path)!r})"

    @property
    def project(self) -> str:
        """The project's name."""
        return self.config.project

    @cached_property
    def registry(self) -> Registry:
        """Where definitions are kept."""
        made: Registry = self._make("registries", self.config.registry.type, self.config.registry.options)
        return made

    @cached_property
    def key_store(self) -> KeyStore:
        """Where API keys are kept: beside the registry."""
        made: KeyStore = self._make("key_stores", self.config.registry.type, self.config.registry.options)
        return made

    @cached_property
    def engine(self) -> Engine:
        """What reads sources and answers training questions."""
        made: Engine = self._make("engines", self.config.offline_store.type, self.config.offline_store.options)
        return made

    @cached_property
    def logs(self) -> Logs:
        """Where pushed events are kept."""
        made: Logs = self._make("logs", self.config.log.type, self.config.log.options)
        return made

    @cached_property
    def recorder(self) -> Recorder:
        """What logs the answers of feature services that say so."""
        from gnomon.flows.loaded import Loads
        from gnomon.flows.recorder import Recorder, Recording

        registry, project = self.registry, self.project
        recording = Recording.of(self.config.feature_server.get("feature_logging", {}))
        return Recorder(self._served_logs, lambda: Loads(registry, project), recording)

    @cached_property
    def online(self) -> OnlineStore:
        """What answers online."""
        chosen = self.config.online_store
        if chosen is None:
            raise ConfigError(
                f"project {self.project!r} has no online store.",
                hint="name one in feature_store.yaml: online_store: {type: lmdb}.",
            )
        made: OnlineStore = self._make("online_stores", chosen.type, chosen.options)
        return made

    @cached_property
    def reader(self) -> Reader:
        """What makes answers of what is online, in one go or in steps; it remembers what questions mean."""
        from gnomon.flows.read import Reader

        return Reader(self.online, self.clock)

    def plan(self, objects: Sequence[Any] | None = None, *, prune: bool = False) -> Plan:
        """What `apply` would change.

        Args:
            objects: definitions; those in the repo's files when left out or empty.
            prune: whether definitions that are registered but not among them would be deleted.

        Raises:
            DefinitionError: a definition is wrong, or there is none.
            SourceError: a source is missing or does not fit its definition.
        """
        from gnomon.flows.apply import plan

        return plan(self.registry, self.engine, self.project, self._definitions(objects), prune)

    def apply(
        self,
        objects: Sequence[Any] | Any | None = None,
        *,
        prune: bool = False,
        expected_version: int | None = None,
    ) -> Plan:
        """Register definitions and all they reach, in one step.

        Args:
            objects: definitions, or one; those in the repo's files when left out or empty.
            prune: whether to delete definitions that are registered but not among them.
            expected_version: the registry version this was decided on; by default the newest.

        Raises:
            DefinitionError: a definition is wrong.
            SourceError: a source is missing or does not fit its definition.
            ConflictError: somebody else applied since `expected_version`.
        """
        from gnomon.flows.apply import apply

        done = apply(
            self.registry,
            self.engine,
            self.project,
            self._definitions(objects),
            prune=prune,
            expected_version=expected_version,
            at=self.clock.now(),
            by=_login_name(),
        )
        self.refresh_registry()
        return done

    def get_historical_features(
        self,
        entity_df: Any = None,
        features: Features = (),
        *,
        as_known: str | datetime | int | KnownThrough = "now",
        full_feature_names: bool = False,
        strict: bool = False,
        entities: Any = None,
        start_date: Instant | None = None,
        end_date: Instant | None = None,
    ) -> TrainingSet:
        """The features of every row asked, each as of its own instant.

        Args:
            entity_df: rows with join keys and an instant (`event_timestamp`): a pandas, Polars or Arrow table, a dict
                of columns, a Parquet path or a SQL query.
            features: references such as `profile:age`, or a service.
            as_known: "now" for all hindsight, "then" for what serving could have answered, an instant, or the token
                of an online answer: what that answer had.
            full_feature_names: name the answers `view__feature`.
            strict: raise where a value is more than its type can hold, such as a sum of whole numbers; by default it
                is null.
            entities: in place of `entity_df`: a table of join keys; each gets a row at `start_date` and one at every
                instant up to `end_date` at which an answer may change.
            start_date: the first instant for `entities`.
            end_date: the last instant for `entities`; by default now.

        Raises:
            RequestError: the question cannot be understood, or the spine does not fit it.
            NotRegistered: a view or a service is unknown.
            UnknownFeature: a view has no such feature.
        """
        from gnomon.flows.training import get_historical_features

        return get_historical_features(
            self._with_functions(self.snapshot()),
            self.engine,
            self.clock,
            entity_df,
            features,
            as_known=as_known,
            full_feature_names=full_feature_names,
            strict=strict,
            entities=entities,
            start_date=start_date,
            end_date=end_date,
            logs=self.logs,
        )

    def explain(
        self,
        feature: str,
        entity: Mapping[str, Any],
        at: Instant | None = None,
        as_known: str | datetime | int | KnownThrough = "now",
    ) -> Explanation:
        """Why a feature of an entity has the value it has: the events behind it, those left out, and the reasons.

        Args:
            feature: `view:feature`, `view@2:feature` or `view__feature`.
            entity: the join keys: `{"user_id": 7}`.
            at: the instant; by default now.
            as_known: how much hindsight: "now", "then", an instant, or the token of an online answer.

        Raises:
            RequestError: the question cannot be understood, or a join key is missing or does not fit.
            NotRegistered: the view is unknown.
            UnknownFeature: the view has no such feature.
            SourceError: a source cannot be read.
        """
        from gnomon.flows.explain import explain

        return explain(
            self.snapshot(),
            self.engine,
            self.clock,
            self.logs,
            feature,
            entity,
            at,
            as_known,
            read=lambda features, rows: self.get_online_features(features, rows, known_through=True),
        )

    def get_lineage(
        self,
        feature: str,
        entity_id: Any = None,
        timestamp: Instant | None = None,
        as_known: str | datetime | int | KnownThrough = "now",
    ) -> Lineage:
        """What a feature comes from and who uses it; with an entity, the events that one value is made of.

        Args:
            feature: `view:feature`, `view@2:feature` or `view__feature`.
            entity_id: the join keys, or the value of the only one; left out, the lineage is that of the definition.
            timestamp: the instant of the value; by default now.
            as_known: how much hindsight, as in `explain`.

        Raises:
            RequestError: the question cannot be understood, or a join key is missing or does not fit.
            NotRegistered: the view is unknown.
            UnknownFeature: the view has no such feature.
        """
        from gnomon.flows.lineage import get_lineage

        return get_lineage(
            self.snapshot(),
            feature,
            entity_id,
            timestamp=timestamp,
            explain=lambda reference, keys: self.explain(reference, keys, timestamp, as_known),
        )

    def push(
        self,
        push_source_name: str | PushSource,
        df: Any,
        to: str = "online_and_offline",
        *,
        offsets: Mapping[str, int] | None = None,
    ) -> PushReport:
        """Append events to a push source's log, stamped with the instants they are known from, and feed what is online.

        Rows that do not fit the source are not pushed; the report says why, and a file keeps them.

        Args:
            push_source_name: the source.
            df: the events: a pandas, Polars or Arrow table, a dict of columns, a list of dicts, a path or a SQL query.
            to: "online_and_offline": into the log, which training sets read, and from it into what is online;
                "offline": into the log only; "online": only into what is online, where no history has them.
            offsets: producer → the offset of its last event among these; events sent again are recognised by it.

        Raises:
            NotRegistered: there is no such push source.
            RequestError: the columns do not fit the source.
            BackendError: the log cannot be written; nothing was appended.
            ConflictError: somebody else is writing for too long, or a part of the events is in the log already.
        """
        from gnomon.flows.ingest import push

        if to == "online":
            _ = self.online  # without one there is nowhere to push to
        return push(
            self._current(),
            self.engine,
            self.logs,
            push_source_name,
            df,
            to=to,
            offsets=offsets or {},
            rejects=self.repo_path / REJECTED,
            feeder=self._feeder() if to in ("online", "online_and_offline") else None,
            clock=self.clock,
        )

    def log_status(self, source: str | None = None, *, served: bool = False) -> dict[str, LogStatus]:
        """What the logs of pushed events hold: events, bytes, files, positions, from when to when.

        Args:
            source: only this source's; by default all, those of sources that are registered no more, too.
            served: of served rows instead; `source` is a feature service then.

        Raises:
            NotRegistered: there is no such source, nor a log of that name.
            BackendError: a log cannot be read.
        """
        from gnomon.flows.keep import status_of_logs

        if served:
            return self._served_log().status(source)
        return status_of_logs(self.catalog(), self.logs, source)

    def merge_log(self, source: str | None = None, *, served: bool = False) -> dict[str, Merged]:
        """Put small files of logs together into larger ones; no event, position or known time changes.

        Args:
            source: only this source's; by default all.
            served: of served rows instead; `source` is a feature service then.

        Raises:
            NotRegistered: there is no such source, nor a log of that name.
            ConflictError: somebody else keeps the log for too long.
            BackendError: a log cannot be read or written; it is as good as before.
        """
        from gnomon.flows.keep import merge_logs

        if served:
            return self._served_log().merge(source)
        return merge_logs(self.catalog(), self.logs, source)

    def trim_log(
        self, source: str | None = None, before: Instant | None = None, *, force: bool = False, served: bool = False
    ) -> tuple[TrimReport, ...]:
        """Let the oldest events of logs go, by whole files; none that a view's windows, or ttl, may still reach.

        Args:
            source: only this source's; by default all.
            before: events go that happened and were known before this instant; by default those that are older than
                `log: {retain: …}` says.
            force: pass over views that may need any event, however old: lifetime windows, rows without a ttl.
            served: of served rows instead; `source` is a feature service then, and its `retain` the default.

        Raises:
            NotRegistered: there is no such push source.
            RequestError: nothing says which events, or a view needs some of them.
            ConfigError: a view needs events for longer than they are retained.
            ConflictError: somebody else keeps the log for too long.
        """
        from gnomon.flows.keep import trim_logs

        limit = None if before is None else to_micros(before)
        retain = self.config.log_retain
        if served:
            return self._served_log().trim(self.clock, source, limit)
        return trim_logs(self.catalog(), self.logs, self.clock, source, before=limit, retain=retain, force=force)

    def erase(self, entity: Mapping[str, Any], sources: Sequence[str] | None = None) -> ErasureReport:
        """Erase all that is kept of one entity, and write down that it was.

        Events in logs go, rejected rows, rows online, and rows that were served.

        Killed in the middle, it is completed by asking for it again. Files of batch sources are the user's own: the
        report says which have rows of the entity.

        Args:
            entity: its join keys: `{"user_id": 7}`; all rows go that have these, whatever other join keys they have.
            sources: names of sources, if not all.

        Raises:
            RequestError: it is no entity.
            NotRegistered: there is no such source.
            BackendError: something cannot be written; erasing again completes it.
            ConflictError: somebody else writes to a log for too long.
        """
        from gnomon.flows.erase import Eraser, erase
        from gnomon.flows.erasures import Erasures

        eraser = Eraser(
            snapshot=self.snapshot(),
            engine=self.engine,
            logs=self.logs,
            served=self._served_log(),
            online=None if self.config.online_store is None else self.online,
            rejects=self.repo_path / REJECTED,
            record=Erasures(self.repo_path / ERASURES),
            clock=self.clock,
            by=_login_name(),
        )
        return erase(eraser, entity, sources)

    def erasures(self) -> list[Erasure]:
        """What was erased when and by whom, oldest first; one that was killed is not done."""
        from gnomon.flows.erasures import Erasures

        return Erasures(self.repo_path / ERASURES).all()

    def source_lag(self, source: str | None = None) -> list[SourceLag]:
        """How long after they happened events were known, source by source; for files that do not say, a delay.

        Args:
            source: only this source, and the files beside it; by default all.

        Raises:
            NotRegistered: there is no such source.
            SourceError: files cannot be read.
        """
        from gnomon.flows.lag import source_lag

        return source_lag(self.catalog(), self.engine, self.logs, source)

    def stream(
        self,
        sources: Sequence[str] = (),
        *,
        folder: str | Path | None = None,
        worker: str = "",
        once: bool = False,
        until_idle: str | None = None,
        around: Mapping[str, Any] | None = None,
    ) -> list[StreamReport]:
        """Bring the events of streams into their sources' logs, each once, until told to stop.

        Args:
            sources: names of sources; all that have a stream by default.
            folder: a folder of files to read in place of the one source's stream; a relative path starts at the repo.
            worker: this worker's name; one of the same name that is started later takes its place.
            once: stop when all has been read that is there.
            until_idle: stop when nothing has come for so long, such as "30s".
            around: for programs: `stop`, a `flows.stream.Stop`; `limits`, a `flows.worker.Limits`; `feed`, `tell` and
                `watch`, called as in `flows.stream`.

        Raises:
            NotRegistered: there is no such source.
            RequestError: a source has no stream.
            SourceError: a topic, a stream or a folder is not there.
            BrokerAway: a broker did not answer for too long.
            BackendError: a log cannot be written; nothing of the batch is in it.
            ConflictError: another worker of that name has taken over.
        """
        from gnomon.flows.stream import Setting, stream

        where = None if folder is None else self.repo_path / folder
        return stream(self._setting(Setting, around or {}), sources, where, worker, once, until_idle)

    def stream_positions(self, sources: Sequence[str] = ()) -> list[StreamPosition]:
        """How far the logs of sources with a stream are, partition by partition, and how far the streams.

        Args:
            sources: names of sources; all that have a stream by default.

        Raises:
            NotRegistered: there is no such source.
            BrokerAway: a broker does not answer.
        """
        from gnomon.flows.stream import Setting, positions

        return positions(self._setting(Setting, None), sources)

    def reproduce(self, made: pa.Table | str | Path) -> TrainingSet:
        """Ask a training set's question again, about the same rows and with the definitions and hindsight of then.

        Args:
            made: a training set: an Arrow table from `to_arrow`, or the path of a Parquet file from `persist`.

        Raises:
            RequestError: it is no training set of gnomon's.
            SourceError: a source is gone.
        """
        from gnomon.flows.reproduce import reproduce

        self._with_functions(self.snapshot())
        return reproduce(self.registry, self.engine, self.clock, made, self.logs)

    def get_online_features(
        self,
        features: Features,
        entity_rows: Sequence[Mapping[str, Any]] | Mapping[str, Sequence[Any]],
        *,
        full_feature_names: bool = False,
        known_through: bool = False,
        strict: bool = False,
        request_id: str | None = None,
        model_id: str | None = None,
        prediction_id: str | None = None,
    ) -> OnlineResponse:
        """The features of some entities as of now, from the online store.

        Args:
            features: references such as `profile:age`, or a service. The answer to a service with a `logging_config` is
                logged, if the request is drawn; `response.request_id` then says by which id.
            entity_rows: one dict of join keys per entity, or a dict of lists; beside these the values that on-demand
                views take from the request.
            full_feature_names: name the answers `view__feature`.
            known_through: whether the response shall say what it was made of, as `as_known` of training sets takes it.
            strict: raise where an on-demand feature cannot be computed; by default it is null, and INVALID.
            request_id: for the log, the request's id; whether it is drawn hangs on it alone. By default a new one.
            model_id: for the log, which model asks.
            prediction_id: for the log, which prediction it is for, to join labels by.

        Raises:
            RequestError: the question cannot be understood.
            NotRegistered: a view or a service is unknown.
            UnknownFeature: a view has no such feature.
            BackendError: the store cannot be read.
        """
        if not (request_id is None and model_id is None and prediction_id is None):
            _check_texts(request_id=request_id, model_id=model_id, prediction_id=prediction_id)
        snapshot, reader = self._current(), self.reader
        service = features if isinstance(features, str) else getattr(features, "name", None)
        if service is None or not self.recorder.following(snapshot).wants(service, request_id):
            return reader.read(snapshot, features, entity_rows, full_feature_names, known_through, strict)
        from gnomon.flows.recorder import Ids, new_id

        response = reader.read(snapshot, features, entity_rows, full_feature_names, known_through=True, strict=strict)
        ids = Ids(new_id(response.at) if request_id is None else request_id, model_id, prediction_id)
        self.recorder.keep(response, service, ids)
        return response

    def served(self, service: str, start: Instant | None = None, end: Instant | None = None) -> pa.Table:
        """What was served of a feature service and logged: an entity a row, as of `event_timestamp`, in that order.

        Args:
            service: the service's name; or that of one of its logs, as `log_status(served=True)` names them.
            start: answers of this instant or later.
            end: answers of before this instant.

        Raises:
            NotRegistered: there is no such service, nor a log of one of that name.
            RequestError: a column changed its type within this time.
            BackendError: a log cannot be read, or what waits cannot be written.
        """
        return self.served_batches(service, start, end).read_all().sort_by("event_timestamp")

    def served_batches(
        self, service: str, start: Instant | None = None, end: Instant | None = None
    ) -> pa.RecordBatchReader:
        """The same rows as `served`, as they were written, batch by batch, however many there are."""
        first = None if start is None else to_micros(start)
        return self._served_log().rows(service, first, None if end is None else to_micros(end))

    def served_stats(self) -> dict[str, ServedStats]:
        """By service, how many rows to be logged wait, are written, or were dropped, in this process."""
        return self.recorder.stats()

    def materialize(
        self,
        start_date: Instant | None,
        end_date: Instant,
        feature_views: Sequence[str] | None = None,
        *,
        replace: bool = False,
        progress: Progress | None = None,
    ) -> Report:
        """Load into the online store what happened or became known between two instants.

        Args:
            start_date: the first instant; None for the beginning.
            end_date: rows that happened after it are left for later.
            feature_views: names of views; all that are online by default.
            replace: put the load in place of all that is there.
            progress: is told how it gets on.

        Raises:
            RequestError: the instants are the wrong way round, or a view is not online.
            SourceError: a source cannot be read; what was loaded before stays.
            BackendError: the store cannot be written.
        """
        from gnomon.flows.materialize import materialize

        start = None if start_date is None else to_micros(start_date)
        return materialize(self._loader(progress), start, to_micros(end_date), feature_views, anew=replace)

    def materialize_incremental(
        self,
        end_date: Instant | None = None,
        feature_views: Sequence[str] | None = None,
        *,
        progress: Progress | None = None,
    ) -> Report:
        """Load into the online store what happened or became known since each view's last load.

        Args:
            end_date: rows that happened after it are left for later; by default now.
            feature_views: names of views; all that are online by default.
            progress: is told how it gets on.

        Raises:
            RequestError: a view is not online.
            SourceError: a source cannot be read; what was loaded before stays.
            BackendError: the store cannot be written.
        """
        from gnomon.flows.materialize import materialize_incremental

        end = self.clock.now() if end_date is None else to_micros(end_date)
        return materialize_incremental(self._loader(progress), end, feature_views)

    def verify(
        self,
        answers: OnlineResponse | Sequence[OnlineResponse] | None = None,
        *,
        features: Features = (),
        sample: int = 1_000,
        seed: int = 0,
    ) -> VerifyReport:
        """Make served answers again from history, of what they knew, and compare them bit by bit.

        Args:
            answers: what `get_online_features(…, known_through=True)` gave, once or often; by default a sample of
                entities is read now.
            features: of which features the sample is; by default of all that are online.
            sample: so many entities of each view.
            seed: another one gives other entities.

        Raises:
            RequestError: an answer was read without `known_through=True`, or a view is not online.
            NotRegistered: a view is not registered, or no longer.
            SourceError: a source cannot be read.
            BackendError: the store cannot be read.
        """
        from gnomon.flows.responses import OnlineResponse
        from gnomon.flows.sampling import Sample, Sampler

        parts: Any = {"snapshot": self._current(), "engine": self.engine, "logs": self.logs, "store": self.online}
        if answers is None:
            drawn = Sampler(**parts, reader=self.reader).sample(features, sample, seed)
        else:
            given = (answers,) if isinstance(answers, OnlineResponse) else tuple(answers)
            if strange := [one for one in given if not isinstance(one, OnlineResponse)]:
                raise RequestError(
                    f"verify was given {strange[0]!r:.80}, which is no answer.",
                    hint="pass what get_online_features(…, known_through=True) gave; features= picks what to sample.",
                )
            drawn = Sample(responses=given)
        return self._verifier().verify(drawn.responses, drawn.unread)

    def verify_log(
        self,
        service: str,
        start: Instant | None = None,
        end: Instant | None = None,
        *,
        sample: int | None = None,
        seed: int = 0,
    ) -> VerifyReport:
        """Make the logged answers of a feature service again from history, of what they knew, and compare them.

        Args:
            service: the service's name.
            start: answers of this instant or later.
            end: answers of before this instant.
            sample: so many rows, drawn at random; all by default.
            seed: another one draws others.

        Raises:
            NotRegistered: there is no such service, nor a log of one of that name.
            RequestError: rows are of a view that no version of the registry has any more.
            SourceError: a source cannot be read.
            BackendError: a log cannot be read, or what waits cannot be written.
        """
        from gnomon.flows.verify_log import LogVerifier

        first, last = (None if one is None else to_micros(one) for one in (start, end))
        verifier = LogVerifier(served=self._served_log(), verifier=self._verifier())
        return verifier.verify(service, first, last, sample, seed)

    def snapshot(self, version: int | None = None) -> Snapshot:
        """The project's definitions at a version, by default the newest.

        Raises:
            RequestError: there was no such version.
        """
        return self.registry.read(self.project, version)

    def catalog(self, version: int | None = None) -> Catalog:
        """The project's definitions at a version, by default the newest, by name."""
        return self.snapshot(version).catalog

    def history(self, limit: int | None = None) -> list[Commit]:
        """What was applied when and by whom, newest first."""
        return self.registry.history(self.project, limit)

    def materializations(self, feature_view: str | None = None) -> list[Run]:
        """What was loaded into the online store when, newest first.

        Args:
            feature_view: a view's name; all views by default.
        """
        view = None if feature_view is None else self.catalog().view(feature_view).id
        return self.registry.runs(self.project, view)

    def create_key(
        self,
        name: str,
        scopes: Sequence[str] = ("read",),
        projects: Sequence[str] | None = None,
        *,
        expires: timedelta | str | None = None,
        rate_limit: int | None = None,
    ) -> NewKey:
        """Make an API key for the server; its token is to be had here and never again.

        Args:
            name: what it is for.
            scopes: what it allows: `read`, `batch`, `write`, `manage`, `metrics`.
            projects: where it does; this one by default, `["*"]` for everywhere.
            expires: after how long it is worth nothing, such as "90d"; by default never.
            rate_limit: requests a second; 0 for any number, by default what the server says.

        Raises:
            RequestError: there is no such scope, or something else in it is not usable.
            BackendError: it cannot be kept.
        """
        from gnomon.flows.keys import create

        where = (self.project,) if projects is None else projects
        at, by = self.clock.now(), _login_name()
        return create(self.key_store, name, scopes, where, expires=expires, rate_limit=rate_limit, at=at, by=by)

    def list_keys(self) -> list[ApiKey]:
        """The API keys of all projects that share the registry, those revoked and expired too, oldest first."""
        return self.key_store.all()

    def revoke_key(self, key_id: str) -> ApiKey:
        """End an API key for good; servers learn of it when they look at the registry next.

        Args:
            key_id: its public id, the middle of its token.

        Raises:
            NotRegistered: there is no such key.
        """
        return self.key_store.revoke(key_id, self.clock.now())

    def list_entities(self) -> list[Entity]:
        """All entities, by name."""
        return _by_name(self.catalog().entities)

    def list_data_sources(self) -> list[Source]:
        """All data sources, by name."""
        return _by_name(self.catalog().sources)

    def list_feature_views(self) -> list[FeatureView]:
        """All feature views and versions, by name."""
        return _by_name(self.catalog().views)

    def list_feature_services(self) -> list[FeatureService]:
        """All feature services, by name."""
        return _by_name(self.catalog().services)

    def list_on_demand_feature_views(self) -> list[OnDemandFeatureView]:
        """All on-demand feature views and versions, by name."""
        return _by_name(self.catalog().on_demand_views)

    def get_on_demand_feature_view(self, name: str) -> OnDemandFeatureView:
        """An on-demand feature view by `name` (its highest version) or `name@version`.

        Raises:
            NotRegistered: there is none.
        """
        return self.catalog().on_demand_view(name)

    def get_entity(self, name: str) -> Entity:
        """An entity.

        Raises:
            NotRegistered: there is none of that name.
        """
        return _named(self.catalog().entities, name, "entity")

    def get_data_source(self, name: str) -> Source:
        """A data source.

        Raises:
            NotRegistered: there is none of that name.
        """
        return _named(self.catalog().sources, name, "data source")

    def get_feature_view(self, name: str) -> FeatureView:
        """A feature view by `name` (its highest version) or `name@version`.

        Raises:
            NotRegistered: there is none.
        """
        return self.catalog().view(name)

    def get_feature_service(self, name: str) -> FeatureService:
        """A feature service.

        Raises:
            NotRegistered: there is none of that name.
        """
        return self.catalog().service(name)

    def refresh_registry(self) -> None:
        """Look at the registry anew at the next online read."""
        self._known = None

    def teardown(self) -> None:
        """Remove the project's online tables, definitions and history; sources, logs and other projects stay."""
        if self.config.online_store is not None:
            for table in self.online.tables(self.project):
                self.online.drop(table)
        self.registry.forget(self.project)
        self.refresh_registry()

    def close(self) -> None:
        """Release files and connections; the store opens them again if it is used again."""
        self._fed = None
        for name in ("recorder", "reader", "_served_kept", "online", "logs", "registry", "key_store", "engine"):
            part = self.__dict__.pop(name, None)
            if part is not None and name != "reader":
                part.close()

    def __enter__(self) -> FeatureStore:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def _rows_expire(self) -> bool:
        """Whether rows of the online store are gone after a time."""
        online = self.config.online_store
        return online is not None and bool(online.options.get("key_ttl_seconds"))

    def _verifier(self) -> Verifier:
        from gnomon.flows.verify import Verifier

        return Verifier(
            snapshot=self._current(),
            registry=self.registry,
            engine=self.engine,
            store=self.online,
            logs=self.logs,
            clock=self.clock,
            expires=self._rows_expire,
        )

    def _served_logs(self) -> Logs:
        made: Logs = self._make("logs", "embedded", {"path": SERVED})
        return made

    @cached_property
    def _served_kept(self) -> Logs:
        """Those that are read and kept in order; the recorder has its own, which a fork opens anew."""
        return self._served_logs()

    def _served_log(self) -> ServedLog:
        """The served-row log, with all in it that this process has to write."""
        from gnomon.flows.served_log import ServedLog

        if "recorder" in self.__dict__:
            self.recorder.flush()
        return ServedLog(self._served_kept, self.catalog())

    def _feeder(self) -> Feeder | None:
        """What feeds the online store by the newest definitions; None where there is no such store."""
        from gnomon.flows.feed import Feeder

        if self.config.online_store is None:
            return None  # events go into the log alone
        snapshot = self._current()
        if self._fed is None or self._fed.snapshot is not snapshot:
            self._fed = Feeder(snapshot, self.engine, self.logs, self.online, self.clock)
        return self._fed

    def _current(self) -> Snapshot:
        """The snapshot online reads go by, looked at anew when it is older than the registry's `cache_ttl_seconds`."""
        now, ttl = self.clock.now(), self.config.cache_ttl_seconds
        if self._known is None or (ttl and not 0 <= now - self._known[1] <= ttl * 1_000_000):
            self._known = self._with_functions(self.snapshot()), now
        return self._known[0]

    def _with_functions(self, snapshot: Snapshot) -> Snapshot:
        """The snapshot; the functions of its on-demand views are imported from the repo's files, each tried once."""
        codes = {view.code for view in snapshot.catalog.on_demand_views.values() if view.code is not None}
        if lacking := {code for code in codes - self._sought if not code.at_hand}:
            from gnomon.flows.repo import bring_functions

            self._sought |= lacking
            bring_functions(self.repo_path, [code.place for code in lacking])
        return snapshot

    def _loader(self, progress: Progress | None) -> Loader:
        from gnomon.flows.materialize import Loader, Quiet

        return Loader(
            snapshot=self.snapshot(),
            registry=self.registry,
            engine=self.engine,
            store=self.online,
            logs=self.logs,
            clock=self.clock,
            progress=Quiet() if progress is None else progress,
        )

    def _setting(self, setting: type[Setting], around: Mapping[str, Any] | None) -> Setting:
        from gnomon.flows.feed import telling

        letters, given = {"path": REJECTED, "seal_age": "1m"}, dict(around or {})
        if around is not None and "feed" not in given and (feeder := self._feeder()):
            given["feed"] = telling(feeder, given.get("tell", str))
        return setting(
            snapshot=self.snapshot(),
            project=self.project,
            logs=self.logs,
            letters=self._make("logs", "embedded", letters),
            options={kind: one.options for kind, one in self.config.streams.items()},
            clock=self.clock,
            **given,
        )

    def _definitions(self, objects: Sequence[Any] | Any | None) -> list[Any]:
        from gnomon.flows.apply import repo_definitions

        if objects is None or objects == []:
            if found := repo_definitions(self.repo_path):
                return found
            raise DefinitionError(
                f"no Python file in {self.repo_path} defines anything.",
                hint="go to the repo's folder (gnomon -c FOLDER …), or begin one: gnomon init NAME.",
            )
        return list(objects) if isinstance(objects, (list, tuple, set)) else [objects]

    def _make(self, group: str, type_name: str, options: Mapping[str, Any]) -> Any:
        context = plugins.Context(repo_path=self.repo_path, project=self.project, clock=self.clock)
        return plugins.make(group, type_name, options, context)


def _by_name(found: Mapping[str, Named]) -> list[Named]:
    return [found[name] for name in sorted(found)]


def _named(found: Mapping[str, Named], name: str, kind: str) -> Named:
    if name not in found:
        raise NotRegistered(kind=kind, name=name, known=found)
    return found[name]


def _check_texts(**ids: object) -> None:
    """What a request goes by are texts."""
    for name, given in ids.items():
        if given is not None and not isinstance(given, str):
            raise RequestError(f"{name} is {given!r:.80}.", hint=f"{name} is a text: {name}={str(given)!r:.80}.")


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # no name for this uid, as in some containers
        return "unknown"
