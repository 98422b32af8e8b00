"""File sources: what they make of their arguments."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from gnomon import FileSource


@pytest.mark.parametrize(
    ("path", "file_format"),
    [
        ("a.parquet", "parquet"),
        ("a.csv", "csv"),
        ("A.CSV.GZ", "csv"),
        ("data/tx", "parquet"),
        ("data/*.csv", "csv"),
        ("data/date=*/*.parquet", "parquet"),
    ],
)
def test_the_format_is_in_the_ending(path: str, file_format: str) -> None:
    assert FileSource(path=path).file_format == file_format


def test_a_format_that_is_said_holds() -> None:
    assert FileSource(path="data/export", file_format="csv").file_format == "csv"


def test_a_path_object_is_its_text_and_the_name() -> None:
    source = FileSource(path=Path("data") / "a.parquet")  # type: ignore[arg-type]
    assert (source.path, source.name) == ("data/a.parquet", "data/a.parquet")


@pytest.mark.parametrize(
    ("source", "has"),
    [
        (FileSource(path="a"), False),
        (FileSource(path="a", created_timestamp_column="created"), True),
        (FileSource(path="a", delay=timedelta(0)), True),
        (FileSource(path="a", delay="1h"), True),  # type: ignore[arg-type]
    ],
    ids=["neither", "a column", "a delay of nothing", "a delay"],
)
def test_known_times_come_from_a_column_or_a_delay(source: FileSource, has: bool) -> None:
    assert source.has_known_times is has
