"""Training sets: the features of every row asked, each as of its own instant.

The question is checked when it is asked; the engine runs when the answer is wanted, as a table or as a stream.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gnomon.clock import Clock, instant_text, to_micros
from gnomon.contracts.engine import Engine
from gnomon.contracts.log import Logs
from gnomon.contracts.registry import Snapshot
from gnomon.core.aggregations.custom import UserFunction
from gnomon.core.casting import cast_keys
from gnomon.definitions.codec import fingerprint
from gnomon.definitions.services import FeatureService
from gnomon.definitions.sources import PushSource, file_sources
from gnomon.errors import BackendError, DefinitionError, MissingExtra, RequestError, listing
from gnomon.flows.files import replacing
from gnomon.flows.finishing import Finishing, finishing_of
from gnomon.flows.frames import to_pandas
from gnomon.flows.progress import Progress, Quiet
from gnomon.flows.spine import INSTANT_COLUMN, Spine, narrowed, read_spine
from gnomon.plan.known_through import PREFIX, KnownThrough
from gnomon.plan.questions import AsKnown, LogPrefix, Meaning, Through, TrainingQuestion, ViewQuestion
from gnomon.plan.references import Features, resolve

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

__all__ = ["METADATA_KEY", "HindsightWarning", "TrainingSet", "get_historical_features"]


METADATA_KEY = b"gnomon"
"""Where a training set's Arrow metadata says how it was made, as JSON."""


class HindsightWarning(UserWarning):
    """A source says nothing of when its rows were known, so "then" sees them from their event time on."""


@dataclass(slots=True, repr=False)
class TrainingSet:
    """The answer to a training question, made when it is asked for and kept once made.

    Args:
        spine: the rows asked.
        narrow: their join keys and instants, as the engine wants them.
        question: what is asked of these.
        engine: who answers.
        metadata: what is needed to ask again: registry version, view fingerprints, files read, `as_known`, when.
        logs: have the pushed events.
        finishing: what is done to the engine's answers; None for nothing.
    """

    spine: Spine
    narrow: pa.Table
    question: TrainingQuestion
    engine: Engine
    metadata: Mapping[str, Any]
    logs: Logs | None = None
    finishing: Finishing | None = None
    _features: pa.Table | None = field(default=None, init=False, repr=False)

    def __repr__(self) -> str:
        given, made = ", ".join(self.spine.columns), ", ".join(self.metadata["features"])
        return f"TrainingSet({self.spine.rows} rows: {given} → {made})"

    def to_arrow(self) -> pa.Table:
        """An Arrow table: the caller's columns, then the features; the metadata under the key `gnomon`.

        Raises:
            SourceError: a source cannot be read.
        """
        given, features = self.spine.table(), self._answers()
        columns = [*given.columns, *features.columns]
        return pa.table(columns, schema=self._schema(given.schema, features.schema))

    def to_df(self) -> pd.DataFrame:
        """A pandas frame: the caller's columns as they were, then the features; nullable dtypes where there are nulls.

        Raises:
            MissingExtra: pandas is not installed.
            SourceError: a source cannot be read.
        """
        if self.spine.frame is None:
            return to_pandas(self.to_arrow())
        import pandas as pd

        features = to_pandas(self._answers()).set_axis(self.spine.frame.index, axis=0)
        joined = pd.concat([self.spine.frame, features], axis=1)
        joined.attrs["gnomon"] = dict(self.metadata)
        return joined

    def to_polars(self) -> pl.DataFrame:
        """A Polars frame: the caller's columns, then the features.

        Raises:
            MissingExtra: Polars is not installed.
            SourceError: a source cannot be read.
        """
        try:
            import polars as pl
        except ImportError:
            raise MissingExtra(package="polars", extra="polars", purpose="to_polars()") from None
        frame = pl.from_arrow(self.to_arrow())
        assert isinstance(frame, pl.DataFrame)
        return frame

    def to_duckdb(self, connection: Any = None) -> Any:
        """A DuckDB relation, to go on with in SQL.

        Args:
            connection: the DuckDB connection it shall belong to; a new one by default.
        """
        return self.engine.relation(self.to_arrow(), connection)

    def to_reader(self, *, progress: Progress | None = None) -> pa.RecordBatchReader:
        """A stream of Arrow batches, for answers larger than memory; each call asks the engine anew.

        Args:
            progress: is told how it gets on.
        """
        given, told = self.spine.table(), progress or Quiet()
        told.begin("training set", len(given))
        try:
            features = self._asked()
        except BaseException:
            told.end()
            raise
        schema = self._schema(given.schema, features.schema)
        return pa.RecordBatchReader.from_batches(schema, _told(_beside(given, features, schema), told))

    def persist(self, path: str | Path, *, overwrite: bool = False, progress: Progress | None = None) -> Path:
        """Write the answer to a Parquet file, whole or not at all.

        Args:
            path: the file.
            overwrite: whether a file that is there may be replaced.
            progress: is told how it gets on.

        Raises:
            RequestError: the file is there already, or is, or would become, a part of a source of the set.
            BackendError: it cannot be written.
        """
        target = Path(path)
        if target.exists() and not overwrite:
            raise RequestError(f"{target} is there already.", hint="choose another path, or say overwrite=True.")
        self._refuse_to_write_into_a_source(target)
        reader = self.to_reader(progress=progress)
        with replacing(target) as scratch, pq.ParquetWriter(scratch, reader.schema) as writer:
            for batch in reader:
                writer.write_batch(batch)
        return target

    def _refuse_to_write_into_a_source(self, target: Path) -> None:
        """Where a source's files are, the set would be one of them, and its rows rows of the source."""
        place = target.resolve()
        sources = (source for part in self.question.views for source in file_sources(part.view.source))
        for source in {source.name: source for source in sources}.values():
            files = [Path(file.path).resolve() for file in self.engine.files(source)]
            beside = {file.parent for file in files if file.name != Path(source.path).name}
            if place in files or place.parent in beside:
                raise RequestError(
                    f"{target} is where source {source.name!r} is, of which the training set is made.",
                    hint="choose a path outside of it.",
                    path=str(target),
                )

    def _answers(self) -> pa.Table:
        if self._features is None:
            self._features = self._asked().read_all()
        return self._features

    def _asked(self) -> pa.RecordBatchReader:
        if self.finishing is None:
            return self._fetched()
        return self.finishing.over(self._fetched() if self.question.views else None)

    def _fetched(self) -> pa.RecordBatchReader:
        prefixes = {name: self._still_there(name, prefix) for name, prefix in self.question.logs.items()}
        return self.engine.training_set(self.narrow, replace(self.question, logs=prefixes))

    def _still_there(self, name: str, prefix: LogPrefix) -> LogPrefix:
        """The same events of a log, though their files were merged, or written again, since the question was asked."""
        if self.logs is None or all(Path(file).exists() for file in prefix.files):
            return prefix
        return self.logs.log(name).prefix(prefix.position)

    def _schema(self, given: pa.Schema, features: pa.Schema) -> pa.Schema:
        text = json.dumps(self.metadata, sort_keys=True)
        return pa.schema([*given, *features], metadata={**(given.metadata or {}), METADATA_KEY: text.encode()})


def get_historical_features(
    snapshot: Snapshot,
    engine: Engine,
    clock: Clock,
    entity_df: Any,
    features: Features,
    *,
    as_known: str | datetime | int | KnownThrough = "now",
    full_feature_names: bool = False,
    strict: bool = False,
    entities: Any = None,
    start_date: datetime | str | int | None = None,
    end_date: datetime | str | int | None = None,
    files: Mapping[str, tuple[str, ...]] | None = None,
    logs: Logs | None = None,
    until: Mapping[str, int] | None = None,
) -> TrainingSet:
    """Ask for the features of every row of `entity_df`, or of `entities` over a span of time.

    Args:
        snapshot: the definitions.
        engine: who answers.
        clock: says what time it is.
        entity_df: the rows asked, with an instant each in the column `event_timestamp`.
        features: references such as `profile:age`, or a service.
        as_known: "now" for all hindsight, "then" for none, an instant, or the token of an online answer.
        full_feature_names: name the answers `view__feature`.
        strict: raise where a value is more than its type can hold (a sum of whole numbers, of decimals), or where an
            on-demand feature cannot be computed; by default it is null.
        entities: in place of `entity_df`: a table of join keys; each gets a row at `start_date` and one at every
            instant up to `end_date` at which an answer may change.
        start_date: the first instant for `entities`.
        end_date: the last instant for `entities`; by default the clock's now.
        files: of a source, by name, the only files that count; by default all it has.
        logs: have the events of push sources.
        until: of a push source, by name, the last position that counts; by default all there is.

    Raises:
        RequestError: the question cannot be understood, or the spine does not fit it.
        NotRegistered: a view or a service is unknown.
        UnknownFeature: a view has no such feature.
        DefinitionError: the code of an own aggregation, or of an on-demand view, is not there, or is no longer what was
            registered.
    """
    if not isinstance(strict, bool):
        raise RequestError(f"strict is {strict!r}.", hint="strict is True or False.")
    asked_at = clock.now()
    meaning = resolve(snapshot.catalog, features, full_feature_names)
    views = meaning.views
    hindsight = as_known_of(as_known)
    prefixes = _prefixes(views, logs, until or {})
    question = TrainingQuestion(
        views=views,
        order=_fetched_names(meaning),
        instant=INSTANT_COLUMN,
        as_known="now" if isinstance(hindsight, KnownThrough) else hindsight,
        files=files or {},
        strict=strict,
        logs=prefixes,
        through=_through(hindsight, views, prefixes) if isinstance(hindsight, KnownThrough) else {},
    )
    _find_own(question)
    if (entity_df is None) == (entities is None):
        raise RequestError(
            "say which rows are asked, once.",
            hint="pass entity_df= with an instant in each row, or entities= with start_date= and end_date=.",
        )
    if entity_df is not None:
        if start_date is not None or end_date is not None:
            raise RequestError("start_date and end_date go with entities=.", hint="leave them out beside entity_df=.")
        spine = read_spine(entity_df, engine)
    else:
        _refuse_given_values(meaning)
        spine = _spine_over_time(read_spine(entities, engine), question, engine, start_date, end_date, asked_at)
    _refuse_collisions(spine, meaning)
    narrow, asked = narrowed(spine, question)
    keys = dict.fromkeys(column for part in views for column in part.columns)
    told = {
        "asked": _said(features),
        "full_feature_names": full_feature_names,
        **_metadata(snapshot, engine, question, meaning, narrow["t"], asked_at),
    }
    finishing = finishing_of(meaning, spine, engine, (*keys, INSTANT_COLUMN), strict)
    return TrainingSet(spine, narrow, asked, engine, told, logs, finishing)


def _fetched_names(meaning: Meaning) -> tuple[str, ...]:
    """The columns that the engine is asked for: those of the answer in their order, then those for computations."""
    fetched = [name for part in meaning.views for _, name in part.features]
    asked = [name for name in meaning.order if name in fetched]
    return (*asked, *(name for name in fetched if name not in asked))


def _refuse_given_values(meaning: Meaning) -> None:
    """Rows that are made for `entities=` have no values of a request."""
    if meaning.given:
        one = meaning.given[0]
        raise RequestError(
            f"on-demand view {one.view!r} takes {one.name!r} from the request, which rows made for entities= lack.",
            hint="ask with entity_df=, which has a column of that name.",
            column=one.name,
        )


def _prefixes(views: Iterable[ViewQuestion], logs: Logs | None, until: Mapping[str, int]) -> dict[str, LogPrefix]:
    """What of each log counts, by its source's name: taken here, once, so that all of a question see the same."""
    names = {part.view.source.name for part in views if isinstance(part.view.source, PushSource)}
    if names and logs is None:
        raise RequestError(f"no logs are at hand to read {listing(sorted(names))} from.", hint="pass logs=.")
    return {name: logs.log(name).prefix(until.get(name)) for name in sorted(names)} if logs else {}


def _through(token: KnownThrough, views: Iterable[ViewQuestion], logs: Mapping[str, LogPrefix]) -> dict[str, Through]:
    """What counts of each view asked, by a token.

    Raises:
        RequestError: it does not name a view asked, or a log is shorter than it says.
    """
    for part in views:
        if part.view.id not in token.views:
            raise RequestError(
                f"the token says nothing of view {part.view.id!r}.",
                instead=f"It names: {listing(token.views)}.",
                hint="ask for features of these views, or take the token of an answer that has this view, too.",
                view=part.view.id,
            )
        there = logs[part.view.source.name].position if part.view.source.name in logs else 0
        if (position := token.views[part.view.id].position or 0) > there:
            raise RequestError(
                f"the token has view {part.view.id!r} at position {position} of the log of {part.view.source.name!r}, "
                f"which ends at {there}.",
                hint="is it a token of another project, or has the log been lost?",
                view=part.view.id,
            )
    return {part.view.id: token.views[part.view.id] for part in views}


def as_known_of(given: str | datetime | int | KnownThrough) -> AsKnown | KnownThrough:
    """How much hindsight is allowed, from what a user wrote.

    Raises:
        RequestError: it is not understood.
    """
    if isinstance(given, KnownThrough) or given in ("now", "then"):
        return given  # type: ignore[return-value]
    if isinstance(given, str) and given.startswith(PREFIX):
        return KnownThrough.parse(given)
    try:
        return to_micros(given)
    except RequestError:
        hint = 'use "now", "then", an instant such as a datetime, or the token of an online answer.'
        if isinstance(given, (list, tuple)):
            hint = "an answer has a token for each entity: ask for each entity with its own, as_known=tokens[0]."
        raise RequestError(f"as_known={given!r:.80} is not understood.", hint=hint) from None


def _said(features: Features) -> str | list[str]:
    """What was asked for, as it can be said again: a service by its name."""
    if isinstance(features, FeatureService):
        return features.name
    return features if isinstance(features, str) else list(features)


def _find_own(question: TrainingQuestion) -> None:
    """See that the code of users' own aggregations is there, and is what was registered."""
    for part in question.views:
        asked = {feature for feature, _ in part.features}
        for one in part.view.aggregations:
            if isinstance(made := one.made(), UserFunction) and asked.intersection(one.feature_names):
                try:
                    _ = made.own
                except DefinitionError as wrong:
                    what = f"feature view {part.view.name!r}: aggregation {one.shown}: {wrong.what}"
                    raise DefinitionError(what, instead=wrong.instead, hint=wrong.hint) from wrong


def _refuse_collisions(spine: Spine, meaning: Meaning) -> None:
    both = [name for name in meaning.order if name in spine.columns]
    if both:
        raise RequestError(
            f"the spine has a column {both[0]!r}, and a feature is called so too.",
            hint="rename the column, or say full_feature_names=True.",
            column=both[0],
        )


def _spine_over_time(
    keys: Spine, question: TrainingQuestion, engine: Engine, start: Any, end: Any, asked_at: int
) -> Spine:
    """One row per key at `start`, and one at each instant up to `end` at which an answer may change."""
    if start is None:
        raise RequestError("entities= needs a start_date.", hint="say start_date=, and end_date= if not now.")
    first, last = to_micros(start), asked_at if end is None else to_micros(end)
    if first > last:
        raise RequestError(
            f"start_date {instant_text(first)} is after end_date {instant_text(last)}.", hint="swap them."
        )
    columns = {}
    for part in question.views:
        for column, key in zip(part.columns, part.view.entity_columns, strict=True):
            given = keys.column(column, f"a join key of view {part.view.name!r}")
            columns[column] = cast_keys(given, key.dtype, column)
    distinct = (
        pa.table(columns).group_by(list(columns), use_threads=False).aggregate([])
        if columns
        else pa.table({"__world": [0]})
    )
    made = engine.instants(distinct, question, first, last)
    at = made[question.instant].cast(pa.timestamp("us", "UTC"))
    return Spine({**{name: made[name] for name in columns}, question.instant: at}, len(made))


def _metadata(
    snapshot: Snapshot,
    engine: Engine,
    question: TrainingQuestion,
    meaning: Meaning,
    instants: pa.ChunkedArray,
    asked_at: int,
) -> dict[str, Any]:
    views = {part.view.id: part.view for part in question.views}
    sources = {one.name: one for view in views.values() for one in file_sources(view.source)}
    timeless = sorted(name for name, source in sources.items() if not source.has_known_times)
    if timeless and question.as_known != "now":
        warnings.warn(
            f"sources without known times and without a delay: {', '.join(timeless)}; their rows count as known from "
            "their event time on. Say created_timestamp_column= or delay= on the source.",
            HindsightWarning,
            stacklevel=4,
        )
    latest = pc.max(instants).as_py()
    return {
        "project": snapshot.project,
        "registry_version": snapshot.version,
        "views": {one.view.id: fingerprint(one.view) for one in meaning.parts},
        "features": _origins(meaning),
        "as_known": _as_known_text(question),
        "made_at": instant_text(asked_at),
        "reproducible": latest is None or latest <= asked_at,
        "sources_without_known_times": timeless,
        "logs": {name: prefix.position for name, prefix in question.logs.items()},
        "files": {
            name: [
                [file.path, file.size, file.modified]
                for file in engine.files(source)
                if file.path in question.files.get(name, (file.path,))
            ]
            for name, source in sources.items()
        },
    }


def _origins(meaning: Meaning) -> dict[str, str]:
    """The feature that each column of the answer is, as a reference."""
    found = {name: f"{part.view.id}:{feature}" for part in meaning.parts for feature, name in part.features}
    return {name: found[name] for name in meaning.order}


def _as_known_text(question: TrainingQuestion) -> str:
    """How much hindsight was allowed, as it can be said again."""
    if question.through:
        return str(KnownThrough(question.through))
    return question.as_known if isinstance(question.as_known, str) else instant_text(question.as_known)


def _beside(given: pa.Table, features: pa.RecordBatchReader, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """The caller's columns beside the features, batch by batch."""
    at = 0
    for batch in features:
        own = given.slice(at, len(batch)).combine_chunks()
        at += len(batch)
        columns = [column.chunk(0) if column.num_chunks else pa.array([], column.type) for column in own.columns]
        yield pa.RecordBatch.from_arrays([*columns, *batch.columns], schema=schema)
    if at != len(given):
        raise BackendError(
            f"the engine answered {at} of {len(given)} rows.", hint="please report this: no row may vanish."
        )


def _told(batches: Iterable[pa.RecordBatch], progress: Progress) -> Iterator[pa.RecordBatch]:
    """Batches as they come, and a word about each."""
    try:
        for batch in batches:
            progress.advance(len(batch))
            yield batch
    finally:
        progress.end()
