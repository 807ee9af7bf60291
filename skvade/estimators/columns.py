"""Tables whose columns are of several kinds: from the user's columns to numbers, and back.

Numbers stay as they are; a category becomes one column of zeros and ones for each value, or a
single one where there are two. Columns of one kind are put beside each other, and a missing or an
unknown category is missing in all of its columns.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from skvade.estimators.tables import (
    CONTAINERS,
    as_container,
    as_table,
    chosen_of,
    column_of,
    factorize,
)
from skvade.estimators.validation import as_numbers, is_absent
from skvade.nn.likelihoods import LIKELIHOODS
from skvade.nn.summary import Block, DataSummary
from skvade.training.peers import Peers
from skvade.training.units import Units, row_slices

CATEGORICAL = "categorical"
ORDER = ("gaussian", "negative_binomial", "poisson", "bernoulli", CATEGORICAL)  # of blocks
SCALES = {"bernoulli": 2**0.5}  # one column for two that always differ together
MOSTLY = 0.5  # of the columns are categories
ROUNDING = 1e-12  # variance over mean square, below which a column is constant


@dataclass(frozen=True)
class Column:
    """A column of the user's.

    Attributes
    ----------
    name : str or int
    likelihood : str
        One of `ORDER`; for categories with two values "bernoulli".
    dtype : str
        What it came in as; of an array, the array's.
    categories : tuple
        The values that were seen, in their order; of numbers none.
    levels : tuple
        All values of a categorical dtype, in their order.
    ordered : bool
        Whether such a dtype has an order.
    """

    name: Any
    likelihood: str
    dtype: str
    categories: tuple[Any, ...] = ()
    levels: tuple[Any, ...] = ()
    ordered: bool = False

    @property
    def width(self) -> int:
        """How many columns of numbers it becomes."""
        return len(self.categories) if self.likelihood == CATEGORICAL else 1

    @property
    def names(self) -> list[str]:
        """Of these columns."""
        if not self.categories:
            return [str(self.name)]
        shown = self.categories if self.width > 1 else self.categories[-1:]
        return [f"{self.name}={category}" for category in shown]

    def places_of(self, values: Any) -> np.ndarray:
        """Which of the categories each value is, -1 for a missing or an unknown one."""
        codes, found = factorize(values)
        known = {category: place for place, category in enumerate(self.categories)}
        places = np.array([*(known.get(value, -1) for value in found), -1])
        return places[codes]

    def encode(self, values: Any) -> np.ndarray:
        """Categories as zeros and ones, NaN where there is none known: (n_samples, width)."""
        places = self.places_of(values)[:, None]
        numbers = np.arange(self.width) if self.width > 1 else np.arange(1, 2)
        return np.where(places < 0, np.nan, (places == numbers).astype(float))

    def decode(self, block: np.ndarray) -> Any:
        """Values of this column from expected or drawn numbers (n_samples, width)."""
        if self.categories:
            places = block.argmax(1) if self.width > 1 else (block[:, 0] > 0.5).astype(int)
            places = np.minimum(places, len(self.categories) - 1)
            return np.array([*self.categories, None], dtype=object)[places]
        return block[:, 0]


@dataclass(frozen=True)
class Columns:
    """All columns of a table, in their order.

    Attributes
    ----------
    columns : tuple of Column
    container : str
        What they came in: "pandas", "polars", "pyarrow", or "" for an array.
    """

    columns: tuple[Column, ...]
    container: str

    @cached_property
    def layout(self) -> tuple[tuple[int, slice], ...]:
        """The number of each column, in the order of the numbers that it becomes, and where."""
        places, start = [], 0
        for kind in ORDER:
            for number, column in enumerate(self.columns):
                if column.likelihood == kind:
                    places.append((number, slice(start, start + column.width)))
                    start += column.width
        return tuple(places)

    @property
    def n_encoded(self) -> int:
        """Columns of numbers."""
        return sum(column.width for column in self.columns)

    @property
    def firsts(self) -> np.ndarray:
        """The first of the numbers of each column."""
        return np.array([part.start for _, part in self.layout])

    @property
    def names(self) -> list[str]:
        """Of the columns of numbers."""
        return [name for number, _ in self.layout for name in self.columns[number].names]

    @property
    def kinds(self) -> str:
        """How many columns there are of each kind, in words."""
        counts = {kind: len(self.named(kind)) for kind in ORDER}
        return ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)

    @property
    def mostly_categories(self) -> bool:
        """Whether distances say little: at least half of the columns hold one of a few values."""
        of_few = len(self.named("bernoulli")) + len(self.named(CATEGORICAL))
        return of_few >= MOSTLY * len(self.columns)

    def named(self, likelihood: str) -> list[Any]:
        """The columns of one kind, by the user's names."""
        return [c.name for n, _ in self.layout if (c := self.columns[n]).likelihood == likelihood]

    def encode(self, X: Any) -> np.ndarray:
        """The user's rows as numbers, NaN where a value is missing: (n_samples, n_encoded).

        Raises
        ------
        ValueError, TypeError
            If a column of numbers holds something else, or what its likelihood is not for.
        """
        X = as_table(X)
        plain = [number for number, column in enumerate(self.columns) if not column.categories]
        names = [self.columns[number].name for number in plain]
        numbers = as_numbers(chosen_of(X, plain), names) if plain else np.empty((len(X), 0), bool)
        exact = numbers.dtype == np.float32 or numbers.dtype.itemsize < 4
        encoded = np.empty((len(X), self.n_encoded), np.float32 if exact else np.float64)
        for number, part in self.layout:
            column = self.columns[number]
            if column.categories:
                encoded[:, part] = column.encode(column_of(X, number))
            else:
                encoded[:, part] = numbers[:, [plain.index(number)]]
                _check_within(column, encoded[:, part])
        return encoded

    def decode(self, rows: np.ndarray) -> Any:
        """Expected or drawn numbers as rows like the user's: names, dtypes and categories."""
        values: list[Any] = [None] * len(self.columns)
        for number, part in self.layout:
            values[number] = self.columns[number].decode(rows[:, part])
        if not self.container:
            return _as_array(values, self.columns[0].dtype)
        import pandas as pd

        typed = [_of_dtype(*pair) for pair in zip(values, self.columns, strict=True)]
        frame = pd.concat(typed, axis=1)
        frame.columns = [column.name for column in self.columns]
        return as_container(frame, self.container)

    def fill(self, X: Any, encoded: np.ndarray, expected: np.ndarray) -> Any:
        """A copy of the user's rows with the missing values filled by expected ones."""
        X = as_table(X)
        filled = as_table(self.decode(np.where(np.isnan(encoded), expected, encoded)))
        if not self.container:
            values = np.asarray(X)
            holes = np.vectorize(is_absent, otypes=[bool])(values.astype(object))
            return _filled(values, holes, filled)
        import pandas as pd

        names = [column.name for column in self.columns]
        frame = X.copy() if hasattr(X, "iloc") else pd.DataFrame(X, columns=names)
        for number in range(len(self.columns)):
            own = frame.iloc[:, number]
            holes = np.asarray(own.isna())
            if holes.any():
                column = filled.iloc[:, number].set_axis(frame.index)
                frame.isetitem(number, _filled(own, holes, column))
        return as_container(frame, self.container)

    def blocks(self, encoded: np.ndarray, summary: DataSummary, peers: Peers) -> tuple[Block, ...]:
        """What a model is to know of each kind of columns.

        Among what the encoder sees, rows with different categories are as far apart, by the root of
        two, as rows are on average that differ in a number.
        """
        found = []
        for kind in ORDER:
            parts = [p for n, p in self.layout if self.columns[n].likelihood == kind]
            if not parts:
                continue
            widths = tuple(part.stop - part.start for part in parts)
            own = encoded[:, parts[0].start : parts[-1].stop]
            scales = np.full(sum(widths), SCALES.get(kind, 1.0))
            if kind in LIKELIHOODS and LIKELIHOODS[kind].counts:
                scales = 1 / _deviations(own, peers)
            whole = bool((np.isin(own, (0.0, 1.0)) | np.isnan(own)).all())
            of_block = replace(
                summary,
                n_features=sum(widths),
                binary=all(peers.collect(whole)),
                median_total=None,
            )
            found.append(Block(kind, of_block, widths, tuple(map(float, scales))))
        return tuple(found)

    def agree_with(self, blocks: tuple[Block, ...]) -> bool:
        """Whether a model's blocks are those of these columns."""
        widths: dict[str, tuple[int, ...]] = {}
        for number, part in self.layout:
            kind = self.columns[number].likelihood
            widths[kind] = (*widths.get(kind, ()), part.stop - part.start)
        n_columns = {kind: sum(own) for kind, own in widths.items()}
        return {b.likelihood: b.widths for b in blocks} == widths and all(
            b.summary.n_features == len(b.scales) == n_columns[b.likelihood] for b in blocks
        )

    @classmethod
    def of(cls, values: dict[str, Any]) -> Columns:
        """Those of which `dataclasses.asdict` has made a dict.

        Raises
        ------
        ValueError
            If it is of no columns.
        """
        columns = tuple(Column(**column) for column in values["columns"])
        for column in columns:
            texts = (column.name if isinstance(column.name, str) else "", column.dtype)
            plain = all(isinstance(v, str | bool | int | float) for v in column.categories)
            levels = all(isinstance(v, str | bool | int | float) for v in column.levels)
            categories = len(set(column.categories))
            if not (
                column.likelihood in ORDER
                and isinstance(column.name, str | int)
                and all(isinstance(text, str) for text in texts)
                and isinstance(column.categories, tuple)
                and plain
                and levels
                and categories == len(column.categories)
                and (column.likelihood != CATEGORICAL or categories > 2)
                and (column.likelihood == "bernoulli" or categories == 0 or categories > 2)
                and (column.likelihood != "bernoulli" or categories <= 2)
            ):
                raise ValueError(f"it has a column {str(column.name)[:100]!r} of no kind.")
        if not columns or values["container"] not in CONTAINERS:
            raise ValueError("it has no columns.")
        return cls(columns, values["container"])

    def around(self, units: Units, n_features: int) -> Units:
        """Units of the measurements as those of all columns, of which the others have none."""
        n_others = self.n_encoded - n_features
        if units.low is None or units.high is None:
            limits = ()
        else:
            limits = (
                _extended(units.low, n_others, -np.inf),
                _extended(units.high, n_others, np.inf),
            )
        shift = _extended(np.broadcast_to(units.shift, n_features), n_others, 0.0)
        scale = _extended(np.broadcast_to(units.scale, n_features), n_others, 1.0)
        return Units(shift, scale, *limits)


def _extended(values: np.ndarray, n_more: int, value: float) -> np.ndarray:
    return np.concatenate([values, np.full(n_more, value)])


def _deviations(counts: np.ndarray, peers: Peers) -> np.ndarray:
    """The standard deviation of log(1 + x) of each column, 1 where it is 0: (n_columns,)."""
    moments = np.zeros((3, counts.shape[1]))
    for part in row_slices(*counts.shape):
        logs = np.log1p(counts[part].astype(np.float64))
        observed = ~np.isnan(logs)
        logs = np.where(observed, logs, 0.0)
        moments += observed.sum(0), logs.sum(0), np.square(logs).sum(0)
    n_rows, sums, squares = peers.total(moments)
    n_rows = np.maximum(n_rows, 1)
    squares = squares / n_rows
    variances = squares - (sums / n_rows) ** 2
    return np.sqrt(np.where(variances > ROUNDING * squares, variances, 1.0))


def _check_within(column: Column, values: np.ndarray) -> None:
    """Numbers must lie where their likelihood is defined."""
    family = LIKELIHOODS[column.likelihood]
    with np.errstate(invalid="ignore"):
        wrong = values[(values < family.lower) | (values > family.upper)]
    if len(wrong):
        high = "" if np.isinf(family.upper) else f" and at most {family.upper:.6g}"
        raise ValueError(
            f"Column {column.name!r} holds {wrong[0]:.6g}, and likelihood={column.likelihood!r} "
            f"needs values of at least {family.lower:.6g}{high}; mend the column, or set another "
            "likelihood for it."
        )


def _filled(values: Any, holes: np.ndarray, filled: Any) -> Any:
    """Values whose holes are filled, of the dtype of the filled ones unless that changes others."""
    whole = filled.astype(object)
    whole[~holes] = values.astype(object)[~holes]
    for dtype in (filled.dtype, values.dtype):
        levels = getattr(dtype, "categories", None)
        if levels is not None and not set(whole) <= set(levels):
            continue
        try:
            typed = whole.astype(dtype)
        except (TypeError, ValueError, OverflowError):
            continue
        if (typed.astype(object) == whole).all():
            return typed
    return whole


def _whole(values: np.ndarray, kind: Any) -> np.ndarray:
    """The nearest whole numbers that a dtype holds, of that dtype."""
    limits = np.iinfo(kind)
    low, high = float(limits.min), float(limits.max)
    if high > limits.max:  # 2**63, which is what the float64 nearest to 2**63 - 1 is
        high = float(np.nextafter(high, 0))
    return np.clip(np.round(values), low, high).astype(kind)


def _as_array(columns: list[Any], dtype: str) -> np.ndarray:
    """Values of columns as an array of the dtype that came in."""
    kind = np.dtype(object if dtype.startswith("str") else dtype)
    table = np.empty((len(columns[0]), len(columns)), object)
    for number, values in enumerate(columns):
        if values.dtype.kind == "f" and kind.kind in "iu":
            values = _whole(values, kind)
        elif values.dtype.kind == "f" and kind.kind == "b":
            values = values > 0.5
        table[:, number] = values
    return table.astype(kind, copy=False)


def _of_dtype(values: Any, column: Column) -> Any:
    """Values of a column of a DataFrame as a Series of the dtype that came in."""
    import pandas as pd

    if column.dtype == "category":
        levels = list(column.levels)
        return pd.Series(pd.Categorical(values, categories=levels, ordered=column.ordered))
    kind = pd.api.types.pandas_dtype(column.dtype)
    if not column.categories:
        if pd.api.types.is_bool_dtype(kind):
            values = values > 0.5
        elif pd.api.types.is_integer_dtype(kind):
            values = _whole(values, getattr(kind, "numpy_dtype", kind))
        elif not pd.api.types.is_float_dtype(kind):
            kind = np.dtype(float)
    return pd.Series(values, dtype=kind)
