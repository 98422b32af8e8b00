"""The data: made by DuckDB from hashes of row numbers, so that every machine has the same, and kept between runs."""

from __future__ import annotations

import os
from pathlib import Path

import duckdb

from bench.measure import CACHE

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
    "large_history",
    "large_spine",
    "seen",
    "served",
    "spine",
]

START = 1_700_000_000_000_000
"""The first event time, µs."""
MONTH = 2_592_000_000_000
KEYS = 100_000
HISTORY = 10_000_000
PEOPLE = 1_000_000
DEEP = 200
SPINES = {"wide": 1_000_000, "deep": 100_000, "zipf": 1_000_000, "sparse": 1_000_000}
LARGE = 50_000_000
LARGE_KEYS = 1_000_000
LARGE_ASKED = 5_000_000
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
    return _made("history", f"select *, {_known()} as created from ({_rows(HISTORY, _key('key'), _moment())})")


def deep() -> Path:
    """200 rows for each of 100k keys, as time went by."""
    moment = f"{START} + (i // {KEYS}) * {MONTH // DEEP} + (hash(i) % {MONTH // DEEP})::bigint"
    return _made("deep", _rows(KEYS * DEEP, f"(i % {KEYS})", moment))


def sparse() -> Path:
    """10M rows of a million keys, over the same 30 days in no order."""
    return _made("sparse", _rows(HISTORY, _key("key", PEOPLE), _moment()))


def spine(kind: str) -> Path:
    """1M or 100k rows to ask about, each with a key and an instant of the same 30 days."""
    key = ZIPF.format("asked") if kind == "zipf" else _key("asked", PEOPLE if kind == "sparse" else KEYS)
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


def served(people: int = PEOPLE) -> Path:
    """One row of ten numbers for each of so many keys."""
    columns = ", ".join(
        f"(hash(i, 'f{place}') % 1000003)::bigint {'' if place % 2 else '/ 7.0'} as f{place}" for place in range(10)
    )
    keys = f"select i, i as user_id, make_timestamptz({_moment()}) as event_timestamp from range({people}) t(i)"
    return _made(f"served-{people}", f"select user_id, event_timestamp, {columns} from ({keys})")


def seen(people: int = PEOPLE) -> Path:
    """Three events for each of so many keys."""
    keys = f"select i, i % {people} as user_id, make_timestamptz({_moment()}) as ts from range({3 * people}) t(i)"
    amount = "((hash(i, 'amount') % 100000) / 100.0) as amount"
    return _made(f"seen-{people}", f"select user_id, ts, {amount} from ({keys})")


def fresh() -> Path:
    """A newer row for every hundredth of these keys."""
    return _made("fresh", _rows(PEOPLE // 100, "(i * 100)", f"{START + 2 * MONTH} + i"))


def large_history() -> Path:
    """50M rows over 30 days in no order, a fifth of them known late; of a million keys, or half of them of key 0."""
    keys = f"select i, {_large_keys()}, make_timestamptz({_moment()}) as event_timestamp from range({LARGE}) t(i)"
    return _made("large", f"select user_id, skewed_id, event_timestamp, {_known()} as created, {COLUMNS} from ({keys})")


def large_spine() -> Path:
    """5M rows to ask that history about, half of them about key 0 if asked by the key that has half of its rows."""
    terms = f"{_large_keys('asked')}, make_timestamptz({_moment('asked at')}) as event_timestamp"
    return _made("spine-large", f"select {terms} from range({LARGE_ASKED}) t(i)")


def _large_keys(salt: str = "key") -> str:
    key = _key(salt, LARGE_KEYS)
    return f"{key} as user_id, case when hash(i, '{salt} skewed') % 2 = 0 then 0 else {key} end as skewed_id"


def _known() -> str:
    """When a row is known: at once, or for a fifth of them up to a day later."""
    late = "to_microseconds((hash(i, 'by') % 86400000000)::bigint)"
    return f"event_timestamp + case when hash(i, 'late') % 5 = 0 then {late} else interval 0 second end"


def _rows(count: int, key: str, moment: str) -> str:
    keys = f"select i, {key} as user_id, make_timestamptz({moment}) as event_timestamp from range({count}) t(i)"
    return f"select i, user_id, {USER}, event_timestamp, {COLUMNS} from ({keys})"


def _key(salt: str, keys: int = KEYS) -> str:
    return f"(hash(i, '{salt}') % {keys})::bigint"


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
