"""The kernel and the oracle agree where everything meets: few keys, few instants, windows of some microseconds."""

from __future__ import annotations

import decimal
import math
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from gnomon.core.aggregations import FUNCTIONS, function_of
from gnomon.core.columns import as_numpy
from gnomon.core.kernel.columns import Column, arrow_of, canonical_floats
from gnomon.core.kernel.part import Given, Inputs, Job, answer
from gnomon.core.kernel.sweeps import SWEEPS
from gnomon.core.windows import Window
from gnomon.testing.reference import same_value
from gnomon.testing.reference_windows import WindowEvent, windowed
from gnomon.types import (
    Array,
    Bool,
    Bytes,
    Decimal,
    FeatureType,
    Float32,
    Float64,
    Int32,
    Int64,
    String,
    UnixTimestamp,
    to_arrow,
)

CENTS, LONG = Decimal(10, 2), Decimal(38, 3)
NAN, INF = math.nan, math.inf
NUMBERS = (Int64, Float64, CENTS, LONG, Bool, Float32, Int32)
SCALARS = (*NUMBERS, String, Bytes, UnixTimestamp)
ARGUMENTS: dict[str, list[dict[str, Any]]] = {
    "variance": [{}, {"population": True}],
    "stddev": [{}, {"population": True}],
    "first_n": [{"n": 2}],
    "last_n": [{"n": 2}, {"n": 50}],
    "last_distinct_n": [{"n": 2}, {"n": 3}],
    "approx_count_distinct": [{"precision": 4}, {}],
    "approx_percentile": [{"q": 0.5}, {"q": 0.9, "relative_error": 0.5}, {"q": 0.0}, {"q": 1.0}],
    "histogram": [{"edges": (0.0, 10.0)}],
    "top_k": [{"k": 2}],
}
TYPES: dict[str, tuple[FeatureType, ...]] = {
    **dict.fromkeys(("min", "max", "count_distinct", "approx_count_distinct", "mode", "top_k"), SCALARS),
    **dict.fromkeys(("first_n", "last_n", "last_distinct_n", "count"), SCALARS),
    **dict.fromkeys(("first", "last"), (*SCALARS, Array(Float64))),
}
VECTORS = ("sum", "mean", "min", "max", "variance", "stddev")
POOLS: dict[FeatureType, list[Any]] = {
    Int64: [0, 1, -1, 5, 2**62, -(2**62), 2**63 - 1, -(2**63)],
    Int32: [0, 1, -5, 2**31 - 1],
    Float64: [0.0, -0.0, 1.5, 0.1, 0.2, NAN, INF, -INF, 1e300, -1e300, 1e17, 1.0, -1e17, 5e-324, -5e-324, 1e-300],
    Float32: [0.0, -0.0, 1.5, NAN, INF, 0.5],
    String: ["", "a", "b", "é", "\U0001f600"],
    Bytes: [b"", b"a", b"\xff"],
    Bool: [True, False],
    UnixTimestamp: [0, -1, 5, 10**15],
    LONG: [decimal.Decimal(one).scaleb(-3, decimal.Context(prec=40)) for one in (0, 1, -1, 10**38 - 1, 1 - 10**38)],
    CENTS: [decimal.Decimal(one).scaleb(-2) for one in (0, 1, -1, 12345, 9999999999)],
}
TAME: dict[FeatureType, list[Any]] = {Float64: [1.5, 0.1, 0.2, 0.3, 2.0, 0.7, -0.0], Int64: [0, 1, 2, 3]}


def test_every_function_has_its_sweep() -> None:
    assert SWEEPS.keys() == FUNCTIONS.keys()


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name != "custom"])
def test_agrees_with_the_oracle(name: str, seed: int) -> None:
    for round_ in range(12):
        check(name, random.Random(f"{name} {seed} {round_}"))


def check(name: str, rng: random.Random) -> None:
    """One history of one column, asked through several windows."""
    vector = name in VECTORS and rng.random() < 0.2
    dtype = rng.choice(TYPES.get(name, NUMBERS))
    dtype = Array(rng.choice((Float64, Int64))) if vector else dtype
    arguments = {**rng.choice(ARGUMENTS.get(name, [{}])), **({"length": 2} if vector else {})}
    base, keys = rng.choice([0, -(10**15), 10**15]), rng.randrange(1, 4)
    events = history(rng, base, keys, pool_of(rng, dtype, length=2 if vector else None))
    rows = sorted((rng.randrange(keys), base + rng.randrange(-3, 75)) for _ in range(rng.randrange(25)))
    windows = tuple({window(rng) for _ in range(rng.randrange(1, 4))})
    as_known = rng.choice(["now", "then", base + rng.randrange(60)])
    where = "odd" if rng.random() < 0.3 else ""
    column = "" if name == "count" and rng.random() < 0.5 else "x"

    job = Job(function_of(name, arguments), column, where, windows)
    key, at = (np.array([row[place] for row in rows], np.int64) for place in (0, 1))
    got = list(answer(given(events, dtype), key, at, keys, [job], as_known))

    output = job.function.output(dtype if column else Int64)
    for one, values in zip(windows, got, strict=True):
        array = arrow_of(values, output)
        plain = array.cast(to_plain(output)).to_pylist()
        assert len(plain) == len(rows)
        for row, ((of_key, instant), value) in enumerate(zip(rows, plain, strict=True)):
            expected = windowed(
                events,
                (of_key,),
                instant,
                window=one,
                function=name,
                arguments=arguments,
                column=column or None,
                dtypes={"x": dtype, "y": Int64},
                where=(lambda event: event["y"] == 1) if where else None,
                as_known=as_known,
            )
            assert same_value(value, expected.value, output), (one, of_key, instant - base, as_known, value, expected)
            invalid = values.invalid is not None and bool(values.invalid[row])
            assert invalid is (expected.status == "INVALID")


def history(rng: random.Random, base: int, keys: int, value: Callable[[], Any]) -> list[WindowEvent]:
    """Events, half of the histories with versions and deletes, most events known late or early."""
    versions = rng.random() < 0.4
    made = []
    for _ in range(rng.randrange(30)):
        event = base + rng.randrange(40)
        late = event + rng.choice([0, 0, 1, 5, 20, -3])
        made.append(
            WindowEvent(
                key=(rng.randrange(keys),),
                event=event,
                known=late if rng.random() < 0.7 else base + rng.randrange(60),
                values={"x": value(), "y": rng.randrange(3)},
                id=rng.choice([None, 1, 2, 3]) if versions else None,
                delete=versions and rng.random() < 0.2,
            )
        )
    return made


def pool_of(rng: random.Random, dtype: FeatureType, length: int | None) -> Callable[[], Any]:
    """Draws values of a type; of half the histories tame ones."""
    tame = rng.random() < 0.5

    def scalar(kind: FeatureType) -> Any:
        return None if rng.random() < 0.15 else rng.choice(TAME.get(kind, POOLS[kind]) if tame else POOLS[kind])

    def value() -> Any:
        if not isinstance(dtype, Array):
            return scalar(dtype)
        size = rng.randrange(3) if length is None else length
        return None if rng.random() < 0.15 else tuple(scalar(dtype.element) for _ in range(size))

    return value


def window(rng: random.Random) -> Window:
    size = rng.choice(["1us", "3us", "10us", "25us", "1h"])
    hops = {"1us": ["1us"], "3us": ["1us", "2us", "3us"], "10us": ["4us", "10us"], "25us": ["7us"], "1h": ["5us"]}
    offset, closed = rng.choice([None, None, "2us", "7us"]), rng.choice(["left", "left", "right"])
    kind = rng.choice(["sliding", "hop", "tumbling", "lifetime"])
    if kind == "lifetime":
        return Window(None, offset=offset, closed=closed)
    if kind == "tumbling":
        return Window(size, kind="tumbling", offset=offset, closed=closed)
    return Window(size, hop=rng.choice(hops[size]) if kind == "hop" else None, offset=offset, closed=closed)


def given(events: list[WindowEvent], dtype: FeatureType) -> Given:
    """The events as the kernel takes them."""
    return Given(
        key=np.array([one.key[0] for one in events], np.int64),
        event=np.array([one.event for one in events], np.int64),
        known=np.array([one.known for one in events], np.int64),
        columns={
            name: inputs([one.values[name] for one in events], kind) for name, kind in (("x", dtype), ("y", Int64))
        },
        selected={"odd": np.array([one.values["y"] == 1 for one in events], np.bool_)},
        ids=inputs([one.id for one in events], Int64),
        deleted=np.array([one.delete for one in events], np.bool_),
        ties=("x", "y"),
    )


def inputs(values: list[Any], dtype: FeatureType) -> Inputs:
    array = canonical_floats(pa.array(values, to_plain(dtype)).cast(to_arrow(dtype)))
    there = as_numpy(array.is_valid())
    return Inputs(Column(array.drop_null(), dtype), np.cumsum(there) - 1, there)


def to_plain(dtype: FeatureType) -> pa.DataType:
    """The Arrow type whose Python values are the oracle's."""
    if isinstance(dtype, Array):
        return pa.list_(to_plain(dtype.element))
    return pa.int64() if dtype == UnixTimestamp else to_arrow(dtype)
