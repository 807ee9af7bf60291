"""Reading tables: DataFrames of pandas, polars and pyarrow, and arrays that hold anything."""

from __future__ import annotations

from typing import Any

import numpy as np

from skvade.estimators.validation import check_axes, is_absent

CONTAINERS = ("", "pandas", "polars", "pyarrow")
TEXTS = ("object", "str", "string", "large_string", "utf8")


def container_of(X: Any) -> str:
    """Which library's table this is; "" for what becomes an array."""
    library = type(X).__module__.partition(".")[0]
    return (
        library if library in CONTAINERS and hasattr(X, "shape") and hasattr(X, "columns") else ""
    )


def as_table(X: Any) -> Any:
    """A DataFrame of pandas, whatever library's table comes in; all else as an array of two axes.

    Raises
    ------
    ValueError
        If there are not two dimensions.
    """
    check_axes(X)
    if container_of(X) not in ("", "pandas"):
        X = X.to_pandas()
    if hasattr(X, "iloc") and hasattr(X, "columns"):
        return _with_categories(X)
    if isinstance(X, np.ma.MaskedArray) and np.ma.is_masked(X):
        X = np.where(X.mask, None, X.data)
    table = np.asarray(X)
    if isinstance(X, list | tuple) and table.dtype.kind in "US":  # numbers have become texts
        table = np.asarray(X, dtype=object)
    return table


def _with_categories(X: Any) -> Any:
    """The same DataFrame, Arrow's dictionaries as pandas' categories."""
    found = [n for n, kind in enumerate(X.dtypes) if str(kind).startswith("dictionary<")]
    X = X.copy(deep=False) if found else X
    for number in found:
        X.isetitem(number, X.iloc[:, number].astype(object).astype("category"))
    return X


def as_container(frame: Any, container: str) -> Any:
    """A DataFrame of pandas as another library's table."""
    if container == "polars":
        import polars

        return polars.from_pandas(frame)
    if container == "pyarrow":
        import pyarrow

        return pyarrow.Table.from_pandas(frame, preserve_index=False)
    return frame


def column_of(X: Any, number: int) -> Any:
    """A column of a table."""
    return X.iloc[:, number] if hasattr(X, "iloc") else X[:, number]


def chosen_of(X: Any, numbers: list[int]) -> Any:
    """Some columns of a table."""
    return X.iloc[:, numbers] if hasattr(X, "iloc") else X[:, numbers]


def factorize(values: Any) -> tuple[np.ndarray, list[Any]]:
    """Which of the different values each one is, -1 for a missing one, and these values."""
    if hasattr(values, "factorize"):
        codes, found = values.factorize()
        return codes, plain(found)
    numbers: dict[Any, int] = {}
    codes = np.array(
        [-1 if is_absent(v) else numbers.setdefault(v, len(numbers)) for v in plain(values)], int
    )
    return codes, list(numbers)


def plain(values: Any) -> list[Any]:
    """Values without their numpy types."""
    listed = np.asarray(values, dtype=object).tolist()
    return [value.item() if isinstance(value, np.generic) else value for value in listed]


def plain_name(name: Any) -> Any:
    """A column's name, as it can be stored."""
    return name if isinstance(name, str | int) else str(name)


def sorting(value: Any) -> tuple[str, Any]:
    """What values of several types can be sorted by."""
    return ("", value) if not isinstance(value, str) else ("text", value)


def holds_texts(values: Any) -> bool:
    """Whether all values are texts, and not all of these numbers in another dress."""
    if str(values.dtype).removesuffix("[pyarrow]") not in TEXTS:
        return False
    _, found = factorize(values)
    return (
        bool(found) and all(isinstance(v, str) for v in found) and not all(map(_is_number, found))
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
