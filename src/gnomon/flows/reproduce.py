"""Make a training set again, from what it says about itself.

A set carries its question: the features, the version of the registry they were defined in, `as_known`, and the files
that were read. Those files and no others are read again; one that is no longer what it was is named, and so is a log
from which events went since.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gnomon.clock import Clock, to_micros
from gnomon.contracts.engine import Engine
from gnomon.contracts.log import Logs
from gnomon.contracts.registry import Registry
from gnomon.definitions.sources import file_sources
from gnomon.errors import RequestError, listing
from gnomon.flows.training import METADATA_KEY, TrainingSet, get_historical_features

__all__ = ["SourceChangedWarning", "reproduce"]


class SourceChangedWarning(UserWarning):
    """A file, or a log, that a training set was made from is no longer what it was."""


def reproduce(
    registry: Registry, engine: Engine, clock: Clock, made: pa.Table | str | Path, logs: Logs | None = None
) -> TrainingSet:
    """Ask the same question again about the same rows.

    Args:
        registry: has the definitions as they were.
        engine: who answers.
        clock: says what time it is.
        made: a training set: an Arrow table from `to_arrow`, or the path of a Parquet file from `persist`.
        logs: have the pushed events; as many of them count as did then.

    Raises:
        RequestError: it is no training set of gnomon's.
        SourceError: a source is gone.
    """
    table, told = _opened(made)
    snapshot = registry.read(told["project"], told["registry_version"])
    now = {
        source.name: {file.path: [file.size, file.modified] for file in engine.files(source)}
        for name in told["files"]
        for source in file_sources(snapshot.catalog.sources[name])
    }
    then = {name: {path: [size, modified] for path, size, modified in files} for name, files in told["files"].items()}
    changed = [path for name, files in then.items() for path, stamp in files.items() if now[name].get(path) != stamp]
    if changed:
        warnings.warn(
            f"source changed: {listing(changed, limit=5)}; where rows that were there differ now, so may answers.",
            SourceChangedWarning,
            stacklevel=3,
        )
    if lessened := _lessened(told, logs):
        warnings.warn(
            f"events were trimmed or erased since, from the log of {listing(lessened)}; so answers may differ.",
            SourceChangedWarning,
            stacklevel=3,
        )
    return get_historical_features(
        snapshot,
        engine,
        clock,
        table.select([name for name in table.column_names if name not in told["features"]]),
        told["asked"],
        as_known=told["as_known"],
        full_feature_names=told["full_feature_names"],
        files={name: tuple(files) for name, files in then.items()},
        logs=logs,
        until=told.get("logs", {}),
    )


def _lessened(told: Mapping[str, Any], logs: Logs | None) -> list[str]:
    """The push sources from whose logs events went since a training set was made."""
    made_at = to_micros(told["made_at"])
    names = sorted(told.get("logs", {})) if logs is not None else []
    went = {name: logs.log(name).status().lessened for name in names if logs is not None}
    return [name for name, at in went.items() if at is not None and at >= made_at]


def _opened(made: pa.Table | str | Path) -> tuple[pa.Table, Mapping[str, Any]]:
    if not isinstance(made, pa.Table):
        try:
            made = pq.read_table(made)
        except (OSError, pa.ArrowException) as wrong:
            raise RequestError(
                f"{made} cannot be read as a training set.", instead=str(wrong), hint="pass a file made by persist()."
            ) from wrong
    told = (made.schema.metadata or {}).get(METADATA_KEY)
    if told is None:
        raise RequestError(
            "the table says nothing of how it was made.",
            hint="pass what to_arrow() gave or persist() wrote; other tools may drop a table's metadata.",
        )
    return made, json.loads(told)
