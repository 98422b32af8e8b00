"""Commands that ask for features: of every row of a spine, or of a few entities as they are now."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gnomon.cli import show
from gnomon.cli.root import examples
from gnomon.cli.session import Session
from gnomon.errors import RequestError

if TYPE_CHECKING:
    from gnomon.definitions.services import FeatureService
    from gnomon.flows.progress import Progress
    from gnomon.flows.read import OnlineResponse
    from gnomon.flows.training import TrainingSet
    from gnomon.store import FeatureStore

__all__ = ["COMMANDS"]


def features_options(command: Any) -> Any:
    """The options that say which features are asked."""
    for option in (
        click.option("--full-feature-names", is_flag=True, help="Name the answers view__feature."),
        click.option("--service", metavar="NAME", help="A feature service, in place of --features."),
        click.option(
            "--features", "-f", multiple=True, metavar="VIEW:FEATURE", help="A feature; repeat it for several."
        ),
    ):
        command = option(command)
    return command


@click.command(
    epilog=examples(
        "gnomon get-historical-features -s trips.csv --service demand -o train.parquet",
        """gnomon get-historical-features -s "select * from 'trips.csv'" -f station_status:bikes""",
    )
)
@click.option(
    "--spine", "-s", required=True, metavar="PATH|SQL", help="The rows asked: a Parquet or CSV file, or a SELECT."
)
@features_options
@click.option(
    "--as-known",
    default="now",
    show_default=True,
    metavar="WHEN",
    help="How much hindsight: now (all), then (none, row by row), an instant, or the token of an online answer.",
)
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Write it all to this .parquet or .csv file.")
@click.option(
    "--limit",
    "-n",
    type=click.IntRange(min=0),
    default=10,
    show_default=True,
    metavar="N",
    help="How many rows to show.",
)
@click.pass_obj
def get_historical_features(
    run: Session,
    spine: str,
    features: tuple[str, ...],
    service: str | None,
    full_feature_names: bool,
    as_known: str,
    output: Path | None,
    limit: int,
) -> None:
    """Get a training set, right at every instant.

    Each row asked is answered as of its own event_timestamp. An output file that is there already is replaced.
    """
    if output is not None and output.suffix not in (".parquet", ".csv"):
        raise click.UsageError(f"--output: {output.name} ends in neither .parquet nor .csv.")
    with run.store() as store:
        asked = _asked(store, features, service)
        made = store.get_historical_features(
            run.reads(spine), asked, as_known=as_known, full_feature_names=full_feature_names
        )
        if output is not None:
            _write(run, made, output)
        else:
            _preview(run, made, limit)


@click.command(
    epilog=examples(
        "gnomon get-online-features --service demand --entity station_id=1",
        "gnomon get-online-features --service demand --entities-json @stations.json",
    )
)
@click.option(
    "--entity",
    "-e",
    multiple=True,
    metavar="KEY=VALUE",
    help="A join key of the entity asked, or a value of the request; repeat it for others.",
)
@click.option(
    "--entities-json",
    metavar="JSON|@FILE|-",
    help="Many entities: '[{\"station_id\": 1}, …]', a file of it, or stdin.",
)
@features_options
@click.pass_obj
def get_online_features(
    run: Session,
    entity: tuple[str, ...],
    entities_json: str | None,
    features: tuple[str, ...],
    service: str | None,
    full_feature_names: bool,
) -> None:
    """Read features as they are now.

    They come from the online store, each with its status (PRESENT, NULL_VALUE, NOT_FOUND, OUTSIDE_MAX_AGE, INVALID) and
    the event time of its row. Values that on-demand features take from the request stand beside the join keys.
    """
    rows = _entity_rows(entity, entities_json)
    with run.store() as store:
        asked = _asked(store, features, service)
        if entity:
            rows = [_with_values(store, asked, rows[0])]
        response = store.get_online_features(asked, rows, full_feature_names=full_feature_names)
        _answer_online(run, response)


COMMANDS = (get_historical_features, get_online_features)


def _asked(store: FeatureStore, features: Sequence[str], service: str | None) -> Sequence[str] | FeatureService:
    if bool(features) == bool(service):
        raise click.UsageError("say which features, once: --features, repeated, or --service.")
    return store.get_feature_service(service) if service else list(features)


def _write(run: Session, made: TrainingSet, output: Path) -> None:
    write = _write_csv if output.suffix == ".csv" else _write_parquet
    with show.progress(run) as bars:
        rows = write(made, output, bars)
    document = {"output": str(output), "rows": rows, "metadata": dict(made.metadata)}
    show.answer(run, document, lambda: click.echo(f"Wrote {rows} rows to {output}."))


def _write_parquet(made: TrainingSet, output: Path, bars: Progress | None) -> int:
    import pyarrow.parquet as pq

    rows: int = pq.read_metadata(made.persist(output, overwrite=True, progress=bars)).num_rows
    return rows


def _write_csv(made: TrainingSet, output: Path, bars: Progress | None) -> int:
    import pyarrow as pa
    import pyarrow.csv as pa_csv

    from gnomon.flows.files import replacing

    reader, rows = made.to_reader(progress=bars), 0
    if nested := [one.name for one in reader.schema if pa.types.is_nested(one.type) or pa.types.is_binary(one.type)]:
        raise RequestError(f"a CSV file cannot hold {nested[0]!r}, a list or bytes.", hint="write a .parquet file.")
    with replacing(output) as scratch, pa_csv.CSVWriter(scratch, reader.schema) as writer:
        for batch in reader:
            writer.write_batch(batch)
            rows += len(batch)
    return rows


def _preview(run: Session, made: TrainingSet, limit: int) -> None:
    shown: list[dict[str, Any]] = []
    rows = 0
    with show.progress(run) as bars:
        reader = made.to_reader(progress=bars)
        for batch in reader:
            shown += _records(batch.slice(0, max(limit - len(shown), 0)))
            rows += len(batch)
    columns = [{"name": one.name, "type": str(one.type)} for one in reader.schema]
    document = {"rows": rows, "columns": columns, "preview": shown, "metadata": dict(made.metadata)}

    def say() -> None:
        names = [one["name"] for one in columns]
        show.table(names, ([row[name] for name in names] for row in shown), "No rows were asked.")
        if rows > len(shown):
            click.echo(f"{len(shown)} of {rows} rows; --limit shows more, --output writes them all.", err=True)

    show.answer(run, document, say)


def _records(batch: Any) -> list[dict[str, Any]]:
    """A batch's rows; instants without a zone are UTC, and nanoseconds are floored, as everywhere."""
    import pyarrow as pa
    import pyarrow.compute as pc

    columns = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
            column = pc.floor_temporal(column, unit="microsecond").cast(pa.timestamp("us", column.type.tz))
        columns[name] = column.to_pylist()
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _entity_rows(pairs: Sequence[str], text: str | None) -> list[dict[str, Any]]:
    if pairs and text is not None:
        raise click.UsageError("name entities once: --entity for one, --entities-json for many.")
    if text is not None:
        return _parsed(_contents(text))
    row: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise click.UsageError(f"--entity: {pair!r} is no KEY=VALUE.")
        if key in row:
            raise click.UsageError(f"--entity: {key!r} stands twice; --entities-json asks many.")
        row[key] = value
    return [row]


def _with_values(store: FeatureStore, features: Sequence[str] | FeatureService, row: dict[str, Any]) -> dict[str, Any]:
    """The row, with what on-demand features take from the request read by its types."""
    from gnomon.core.requests import from_text
    from gnomon.plan.references import resolve

    given = {one.name: one.dtype for one in resolve(store.catalog(), features).given}
    return {name: from_text(value, given[name]) if name in given else value for name, value in row.items()}


def _contents(text: str) -> str:
    if text != "-" and not text.startswith("@"):
        return text
    try:
        return sys.stdin.read() if text == "-" else Path(text[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as failed:
        raise click.UsageError(f"--entities-json: {text[1:]} cannot be read: {failed}.") from failed


def _parsed(text: str) -> list[dict[str, Any]]:
    try:
        rows = json.loads(text)
    except json.JSONDecodeError as wrong:
        raise click.UsageError(f"--entities-json: no JSON: {wrong}.") from wrong
    if isinstance(rows, dict):
        rows = [rows]
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise click.UsageError('--entities-json: not a list of objects such as [{"station_id": 1}].')
    return rows


def _answer_online(run: Session, response: OnlineResponse) -> None:
    document = response.to_dict(include_event_timestamps=True, include_statuses=True)
    features = list(response.statuses)
    keys = list(document)[: len(document) - 3 * len(features)]
    rows = (
        [*(document[key][entity] for key in keys), name, *(document[column][entity] for column in _columns_of(name))]
        for entity in range(len(response))
        for name in features
    )
    heads = [*keys, "FEATURE", "VALUE", "STATUS", "EVENT TIME"]
    show.answer(run, document, lambda: show.table(heads, rows, "No entity was asked."))


def _columns_of(feature: str) -> tuple[str, str, str]:
    return feature, f"{feature}__status", f"{feature}__ts"
