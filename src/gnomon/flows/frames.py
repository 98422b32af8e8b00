"""Arrow to pandas, without an integer ever passing through a float."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa

from gnomon.errors import MissingExtra

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["to_pandas"]


def to_pandas(table: pa.Table) -> pd.DataFrame:
    """A pandas frame with numpy dtypes, and pandas' nullable ones for number and bool columns that have nulls.

    Raises:
        MissingExtra: pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError:
        raise MissingExtra(package="pandas", extra="pandas", purpose="a pandas frame") from None
    nullable = {
        pa.bool_(): pd.BooleanDtype(),
        pa.int32(): pd.Int32Dtype(),
        pa.int64(): pd.Int64Dtype(),
        pa.float32(): pd.Float32Dtype(),
        pa.float64(): pd.Float64Dtype(),
    }

    def series(column: pa.ChunkedArray) -> Any:
        dtype = nullable.get(column.type) if column.null_count else None
        return column.to_pandas() if dtype is None else pd.Series(cast(Any, dtype).__from_arrow__(column))

    made = {name: series(column) for name, column in zip(table.column_names, table.columns, strict=True)}
    return pd.DataFrame(made, index=pd.RangeIndex(len(table)))
