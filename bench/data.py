"""The data: made by DuckDB from hashes of row numbers, so that every machine has the same, and kept between runs."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import duckdb

__all__ = [
    "CACHE",
    "FEATURES",
    "HISTORY",
    "KEYS",
    "PEOPLE",
    "SPINES",
    "deep",
    "entities",
    "events",
    "fresh",
    "history",
    "spine",
]

CACHE = Path(tempfile.gettempdir()) / "gnomon-bench-1"
START = 1_700_000_000_000_000
"""The first event time, µs."""
MONTH = 2_592_000_000_000
KEYS = 100_000
HISTORY = 10_000_000
PEOPLE = 1_000_000
DEEP = 200
SPINES = {"wide": 1_000_000, "deep": 100_000, "zipf": 1_000_000}
EVENTS = 10_000_000
ZIPF = f"floor(pow({KEYS}, (hash(i, '{{}}') % 1000000007) / 1000000007.0))::bigint"
"""Keys from 1 on, each as frequent as it is small."""
FEATURES = tuple(f"f{place}" for place in range(6))
COLUMNS = ", ".join(
    f"(hash(i, 'f{place}') % 1000003)::bigint {'' if place % 2 else '/ 7.0'} as f{place}" for place in range(6)
)
USER = "('user-' || lpad(user_id::varchar, 7, '0')) as user_name"


def history() -> Path:
    """10M rows of 100k keys, number and text, over 30 days in no order; a fifth of them known up to a day late."""
    late = "to_microseconds((hash(i, 'by') % 86400000000)::bigint)"
    known = f"event_timestamp + case when hash(i, 'late') % 5 = 0 then {late} else interval 0 second end"
    return _made("history", f"select *, {known} as created from ({_rows(HISTORY, _key('key'), _moment())})")


def deep() -> Path:
    """200 rows for each of 100k keys, as time went by."""
    moment = f"{START} + (i // {KEYS}) * {MONTH // DEEP} + (hash(i) % {MONTH // DEEP})::bigint"
    return _made("deep", _rows(KEYS * DEEP, f"(i % {KEYS})", moment))


def spine(kind: str) -> Path:
    """1M or 100k rows to ask about, each with a key and an instant of the same 30 days."""
    key = ZIPF.format("asked") if kind == "zipf" else _key("asked")
    keys = f"select i, {key} as user_id from range({SPINES[kind]}) t(i)"
    return _made(
        f"spine-{kind}",
        f"select user_id, {USER}, make_timestamptz({_moment('asked at')}) as event_timestamp from ({keys})",
    )


def events(count: int = EVENTS) -> Path:
    """Purchases of 100k keys, zipf, over 90 days in no order, with amount and merchant; 0, 1 or 20 % known late."""
    late = "to_microseconds((hash(i, 'by') % 86400000000)::bigint)"
    known = ", ".join(
        f"ts + case when hash(i, 'late') % 100 < {share} then {late} else interval 0 second end as known_{share}"
        for share in (0, 1, 20)
    )
    amount = "((hash(i, 'amount') % 100000) / 100.0) as amount, (hash(i, 'merchant') % 1000)::bigint as merchant"
    moment = f"make_timestamptz({START} - 2 * {MONTH} + (hash(i, 'at') % (3 * {MONTH}))::bigint) as ts"
    rows = f"select i, {ZIPF.format('key')} as user_id, {moment}, {amount} from range({count}) t(i)"
    return _made(f"events-{count}", f"select * exclude (i), {known} from ({rows})")


def entities() -> Path:
    """One row for each of 1M keys, in no order."""
    return _made("entities", f"{_rows(PEOPLE, 'i', _moment())} order by hash(i, 'order')")


def fresh() -> Path:
    """A newer row for every hundredth of these keys."""
    return _made("fresh", _rows(PEOPLE // 100, "(i * 100)", f"{START + 2 * MONTH} + i"))


def _rows(count: int, key: str, moment: str) -> str:
    keys = f"select i, {key} as user_id, make_timestamptz({moment}) as event_timestamp from range({count}) t(i)"
    return f"select i, user_id, {USER}, event_timestamp, {COLUMNS} from ({keys})"


def _key(salt: str) -> str:
    return f"(hash(i, '{salt}') % {KEYS})::bigint"


def _moment(salt: str = "at") -> str:
    return f"{START} + (hash(i, '{salt}') % {MONTH})::bigint"


def _made(name: str, query: str) -> Path:
    path = CACHE / f"{name}.parquet"
    if not path.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        scratch = path.with_suffix(f".{os.getpid()}")
        with duckdb.connect() as con:
            con.execute("set TimeZone = 'UTC'")
            con.execute(f"copy ({query}) to '{scratch}' (format parquet)")
        scratch.replace(path)
    return path
