"""Functions of on-demand views, as a repo would have them, over a column of each type: `b` of a view, `r_b` given."""

from __future__ import annotations

from typing import Any

import numpy as np

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
)

COLUMNS: dict[str, FeatureType] = {
    "b": Bool,
    "i": Int32,
    "l": Int64,
    "f": Float32,
    "d": Float64,
    "s": String,
    "y": Bytes,
    "t": UnixTimestamp,
    "m": Decimal(9, 3),
    "w": Decimal(38, 10),
    "a": Array(Float32),
    "u": Array(UnixTimestamp),
}


def told(inputs: dict[str, Any]) -> dict[str, Any]:
    """Everything it was given, in words and as it is."""
    return {"words": repr(sorted(inputs.items())), **{f"o_{name}": inputs[name] for name in COLUMNS}}


def summed(l, r_l, d, r_d, f, i, r_i, m, r_m, t, r_t):  # noqa: E741
    """Sums that may be too large, quotients that may not be, differences of instants."""
    return {
        "whole": l + r_l,
        "half": i + r_i,
        "ratio": d / r_d,
        "single": d * f,
        "exact": m + r_m,
        "later": max(t, r_t),
    }


def joined(b, s, r_s):
    """One value alone; null where it cannot be."""
    return f"{s}{r_s}" if b else None


def vectors(i, r_i, l, r_l, d, r_d, f, b, t, s, r_s):  # noqa: E741
    """Arrays in and out."""
    return {
        "half": i + r_i,
        "whole": np.where(b, l, r_l),
        "ratio": d / r_d,
        "single": np.ma.sqrt(np.ma.abs(f)) * f,
        "later": t,
        "text": np.array([None if x is None else f"{x}{y}" for x, y in zip(s, r_s, strict=True)], object),
    }


def frame(df: Any) -> Any:
    """A frame in and out."""
    out = df[["d", "f"]].rename(columns={"d": "ratio", "f": "single"})
    out["ratio"] = df["d"] * df["r_d"]
    out["whole"] = df["l"]
    out["later"] = df["t"]
    out["text"] = df["s"]
    return out
