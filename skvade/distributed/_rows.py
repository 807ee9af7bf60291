"""Rows of files, of which each process reads its own part only."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np

from skvade.training.peers import current_peers

NUMBERS = ("bool", "int", "uint", "halffloat", "float", "double")  # of Arrow


def load_rows(path: str | PathLike[str], *, columns: Sequence[str] | None = None) -> Any:
    """Read, of a table in files, the rows that are this process's; outside of a group, all.

    The parts are contiguous and of the same size, but for one row. A process reads no other's.

    Parameters
    ----------
    path : path-like
        A `.npy` file; a `.parquet` file, or a folder of such files (with the extra `readers`); or a
        folder `.zarr` with an array of two dimensions (with the same extra).
    columns : sequence of str or None, default=None
        Columns to read from Parquet; None for all, but for those in which pandas keeps an index.

    Returns
    -------
    ndarray of shape (n_own_rows, n_features)
        Of `.npy` a memory map, which is read when it is used.

    Raises
    ------
    FileNotFoundError
        If there is nothing at the path.
    ValueError
        If it is a file of another kind, or has fewer rows than there are processes, or `columns` is
        given where there are no names.
    ImportError
        If the extra `readers` is not installed.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> from skvade import distributed
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "rows.npy")
    ...     np.save(path, np.arange(20.0).reshape(10, 2))
    ...     with distributed.group() as group:
    ...         X = distributed.load_rows(path)
    ...     X.shape  # a process of two would have five rows
    (10, 2)
    """
    place = Path(fspath(path))
    if not place.exists():
        raise FileNotFoundError(f"There is nothing at path={str(place)!r}.")
    parquet = place.suffix == ".parquet" or (place.is_dir() and any(place.glob("*.parquet")))
    if parquet:
        return _of_parquet(place, columns)
    if columns is not None:
        raise ValueError(f"columns must be None for {place.name}, which has no names of columns.")
    if place.suffix == ".npy":
        table = np.load(place, mmap_mode="r")
        return table[_own(len(table))]
    if place.suffix == ".zarr":
        table = _imported("zarr").open(str(place), mode="r")
        return np.asarray(table[_own(table.shape[0])])
    raise ValueError(
        f"path must be a .npy or .parquet file, a folder of .parquet files or a .zarr folder, got "
        f"{str(place)!r}; read the rows otherwise, and pass each process its own to fit."
    )


def _own(n_rows: int) -> slice:
    """Where this process's rows are."""
    peers = current_peers()
    if n_rows < peers.size:
        raise ValueError(
            f"path holds {n_rows} rows, fewer than the {peers.size} processes; start at most as "
            "many as there are rows."
        )
    return slice(n_rows * peers.rank // peers.size, n_rows * (peers.rank + 1) // peers.size)


def _of_parquet(place: Path, columns: Sequence[str] | None) -> np.ndarray:
    """Row groups that hold some of the own rows are read, and no others."""
    parquet = _imported("pyarrow.parquet")
    files = sorted(place.glob("*.parquet")) if place.is_dir() else [place]
    metadata = [parquet.read_metadata(file) for file in files]
    schemas = [of_file.schema.to_arrow_schema() for of_file in metadata]
    names = columns or _names(schemas[0])  # files may have them in other orders
    holed, kinds = _with_holes(metadata), {name: _kind(name, schemas) for name in names}
    own, first, parts = _own(sum(of_file.num_rows for of_file in metadata)), 0, []
    for file, of_file in zip(files, metadata, strict=True):
        groups, starts = [], []
        for number in range(of_file.num_row_groups):
            n_rows = of_file.row_group(number).num_rows
            if first < own.stop and own.start < first + n_rows:
                groups.append(number)
                starts.append(first)
            first += n_rows
        if groups:
            table = parquet.ParquetFile(file).read_row_groups(groups, columns=[*names])
            cut = slice(max(0, own.start - starts[0]), own.stop - starts[0])
            read = [_column(table[name], kinds[name], name in holed, cut) for name in names]
            parts.append(np.column_stack(read))
    return np.concatenate(parts)


def _names(schema: Any) -> list[str]:
    """The columns, without those in which pandas keeps an index."""
    index = (schema.pandas_metadata or {}).get("index_columns", ())
    return [name for name in schema.names if name not in index]


def _kind(name: str, schemas: Sequence[Any]) -> np.dtype | None:
    """What all files' numbers of a column can be, where these differ."""
    types = {schema.field(name).type for schema in schemas}
    if len(types) == 1 or not all(str(kind).startswith(NUMBERS) for kind in types):
        return None
    return np.result_type(*(kind.to_pandas_dtype() for kind in types))


def _column(column: Any, kind: np.dtype | None, may_have_holes: bool, cut: slice) -> np.ndarray:
    """Of a dtype that all processes have; floats where any of them may have holes."""
    values = column.to_numpy()[cut]
    if may_have_holes:
        return values.astype(np.float64) if values.dtype.kind in "biuO" or kind else values
    return values if kind is None else values.astype(kind)


def _with_holes(metadata: Sequence[Any]) -> set[str]:
    """Columns that have missing values anywhere in the files, or may have."""
    found = set()
    for of_file in metadata:
        for number in range(of_file.num_row_groups):
            group = of_file.row_group(number)
            for column in (group.column(place) for place in range(group.num_columns)):
                if column.statistics is None or column.statistics.null_count != 0:
                    found.add(column.path_in_schema)
    return found


def _imported(name: str) -> Any:
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(
            f"load_rows needs {name.split('.')[0]} for such files, which is not installed: "
            'pip install "skvade[readers]"'
        ) from error
