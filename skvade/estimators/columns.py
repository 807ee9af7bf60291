"""Tables whose columns are of several kinds: from the user's columns to numbers, and back.

Numbers stay as they are; a category becomes one column of zeros and ones for each value, or a
single one where there are two. Columns of one kind are put beside each other, and a missing or an
unknown category is missing in all of its columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from numbers import Integral
from typing import Any

import numpy as np
import scipy.sparse as sp

from skvade.estimators.validation import as_numbers, is_absent
from skvade.nn.likelihoods import LIKELIHOODS
from skvade.nn.summary import Block, DataSummary
from skvade.training.peers import Peers
from skvade.training.units import Units, row_slices

CATEGORICAL = "categorical"
ORDER = ("gaussian", "negative_binomial", "poisson", "bernoulli", CATEGORICAL)  # of blocks
SCALES = {"bernoulli": 2**0.5}  # one column for two that always differ together
MOSTLY = 0.5  # of the columns are categories
FEW, SHARE = 50, 1 / 3  # texts with more values than both are no categories
TEXTS = ("object", "str", "string", "large_string", "utf8")


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
        codes, found = _factorize(values)
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
    framed : bool
        Whether they came in a DataFrame.
    """

    columns: tuple[Column, ...]
    framed: bool

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
        numbers = as_numbers(_chosen(X, plain), names) if plain else np.empty((len(X), 0), bool)
        exact = numbers.dtype == np.float32 or numbers.dtype.itemsize < 4
        encoded = np.empty((len(X), self.n_encoded), np.float32 if exact else np.float64)
        for number, part in self.layout:
            column = self.columns[number]
            if column.categories:
                encoded[:, part] = column.encode(_column(X, number))
            else:
                encoded[:, part] = numbers[:, [plain.index(number)]]
                _check_within(column, encoded[:, part])
        return encoded

    def decode(self, rows: np.ndarray) -> Any:
        """Expected or drawn numbers as rows like the user's: names, dtypes and categories."""
        values: list[Any] = [None] * len(self.columns)
        for number, part in self.layout:
            values[number] = self.columns[number].decode(rows[:, part])
        if not self.framed:
            table = np.empty((len(rows), len(values)), object)
            for number, column in enumerate(values):
                table[:, number] = column
            return table.astype(_array_dtype(self.columns[0].dtype), copy=False)
        import pandas as pd

        of_dtype = [_of_dtype(*pair) for pair in zip(values, self.columns, strict=True)]
        frame = pd.concat([pd.Series(column) for column in of_dtype], axis=1)
        frame.columns = [column.name for column in self.columns]
        return frame

    def fill(self, X: Any, encoded: np.ndarray, expected: np.ndarray) -> Any:
        """A copy of the user's rows with the missing values filled by expected ones."""
        filled = self.decode(np.where(np.isnan(encoded), expected, encoded))
        X = as_table(X)
        if not self.framed:
            holes = np.vectorize(is_absent, otypes=[bool])(X.astype(object))
            return np.where(holes, filled, X).astype(filled.dtype, copy=False)
        frame = X.copy()
        for number in range(len(self.columns)):
            holes = np.asarray(frame.iloc[:, number].isna())
            if holes.any():
                column = filled.iloc[:, number].set_axis(frame.index)
                whole = frame.iloc[:, number].where(~holes, column)
                frame.isetitem(number, whole.astype(column.dtype))
        return frame

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
        if not columns or not isinstance(values["framed"], bool):
            raise ValueError("it has no columns.")
        return cls(columns, values["framed"])

    def around(self, units: Units, n_features: int) -> Units:
        """Units of the measurements as those of all columns, of which the others have none."""
        n_others = self.n_encoded - n_features
        if units.low is None or units.high is None:
            limits = ()
        else:
            limits = (_extended(units.low, n_others, -np.inf), _extended(units.high, n_others, np.inf))
        shift = _extended(np.broadcast_to(units.shift, n_features), n_others, 0.0)
        scale = _extended(np.broadcast_to(units.scale, n_features), n_others, 1.0)
        return Units(shift, scale, *limits)


def _extended(values: np.ndarray, n_more: int, value: float) -> np.ndarray:
    return np.concatenate([values, np.full(n_more, value)])


def _deviations(counts: np.ndarray, peers: Peers) -> np.ndarray:
    """The standard deviation of the logarithm of each column, 1 where it is 0: (n_columns,)."""
    moments = np.zeros((3, counts.shape[1]))
    for part in row_slices(*counts.shape):
        logs = np.log1p(counts[part].astype(np.float64))
        observed = ~np.isnan(logs)
        logs = np.where(observed, logs, 0.0)
        moments += observed.sum(0), logs.sum(0), np.square(logs).sum(0)
    n_rows, sums, squares = peers.total(moments)
    n_rows = np.maximum(n_rows, 1)
    variances = squares / n_rows - (sums / n_rows) ** 2
    return np.sqrt(np.where(variances > 0, variances, 1.0))


# ------------------------------------------------------------------------------ learning


@dataclass(frozen=True)
class Seen:
    """What a process has seen of a column.

    Attributes
    ----------
    column : Column
        Without the likelihood of numbers, where the user has not named it.
    observed : int
        Values that are there.
    binary : bool
        Whether all numbers are zero or one.
    text : bool
        Whether it is taken for categories because it holds texts.
    """

    column: Column
    observed: int
    binary: bool
    text: bool = False


def look(estimator: Any, X: Any) -> tuple[bool, list[Seen]] | None:
    """What this process's rows tell of the columns; None where these are plain numbers.

    Raises
    ------
    ValueError, TypeError
        If `categorical_features` or `likelihood` name what is not there, or values are no
        categories.
    """
    chosen, given = estimator.categorical_features, estimator.likelihood
    if chosen is None and not isinstance(given, Mapping):
        return None
    if sp.issparse(X):
        raise TypeError(
            "categorical_features, and a likelihood for each column, need a dense table, got a "
            f"sparse {type(X).__name__}; pass X.toarray(), or leave both out."
        )
    X = as_table(X)
    framed = hasattr(X, "iloc")
    n_columns = X.shape[1]
    names = [_plain_name(name) for name in X.columns] if framed else list(range(n_columns))
    kinds = _kinds(given, names)
    texts: set[int] = set()
    if isinstance(chosen, str):
        if framed:
            texts = {n for n in range(n_columns) if n not in kinds and _holds_texts(_column(X, n))}
            dtypes = {n for n in range(n_columns) if str(X.dtypes.iloc[n]) == "category"}
            kinds = {**dict.fromkeys(texts | dtypes, CATEGORICAL), **kinds}
    elif chosen is not None:
        for number in _numbers_of(chosen, names):
            if kinds.setdefault(number, CATEGORICAL) != CATEGORICAL:
                raise ValueError(
                    f"Column {names[number]!r} is named in categorical_features, and "
                    f"likelihood={kinds[number]!r} is asked for it; name it in one of them."
                )
    if CATEGORICAL not in kinds.values() and not isinstance(given, Mapping):
        return None
    of_numbers = "" if isinstance(given, Mapping) or given == "auto" else given
    seen = []
    for number, name in enumerate(names):
        dtype = str(X.dtypes.iloc[number]) if framed else X.dtype.name
        kind = kinds.get(number, of_numbers)
        values = _column(X, number)
        if kind == CATEGORICAL:
            seen.append(_see_categories(Column(name, kind, dtype), values, number in texts))
        else:
            numbers = as_numbers(_chosen(X, [number]), [name])
            observed = numbers[~np.isnan(numbers)]
            binary = bool(np.isin(observed, (0, 1)).all())
            seen.append(Seen(Column(name, kind, dtype), len(observed), binary))
    return framed, seen


def settle(found: tuple[bool, list[Seen]] | None, peers: Peers) -> Columns | None:
    """What all processes' rows together tell of the columns.

    Raises
    ------
    ValueError
        In all processes, if a column has no values, or texts are no categories.
    """
    of_all = peers.collect(found)
    with peers.alike():
        if any((other is None) != (of_all[0] is None) for other in of_all):
            raise ValueError(
                "All processes must have columns of the same kinds, and some have categories where "
                "others have numbers only; name them in categorical_features."
            )
        if found is None or of_all[0] is None:
            return None
        framed = of_all[0][0]
        columns = tuple(map(_together, zip(*(seen for _, seen in of_all), strict=False)))
        return Columns(columns, framed)


def _together(seen: tuple[Seen, ...]) -> Column:
    column, observed = seen[0].column, sum(one.observed for one in seen)
    if not observed:
        raise ValueError(
            f"X has no value but NaN in column {column.name!r}; leave the column out, or fill it."
        )
    if column.likelihood != CATEGORICAL:
        binary = all(one.binary for one in seen)
        likelihood = column.likelihood or ("bernoulli" if binary else "gaussian")
        return replace(column, likelihood=likelihood)
    values = {category for one in seen for category in one.column.categories}
    if seen[0].text and len(values) > max(FEW, SHARE * observed):
        raise ValueError(
            f"Column {column.name!r} holds texts with {len(values)} different values in {observed} "
            "rows, too many for categories; leave it out, make numbers of it, or name it in "
            "categorical_features."
        )
    levels = {level: place for place, level in enumerate(column.levels)}
    in_order = sorted(values, key=lambda v: (levels.get(v, len(levels)), *_sorting(v)))
    likelihood = "bernoulli" if len(in_order) <= 2 else CATEGORICAL
    return replace(column, likelihood=likelihood, categories=tuple(in_order))


def _see_categories(column: Column, values: Any, text: bool) -> Seen:
    codes, found = _factorize(values)
    for value in found:
        if not isinstance(value, str | bool | int | float):
            raise ValueError(
                f"Column {column.name!r} holds {value!r}, a {type(value).__name__}, and categories "
                "are texts, numbers or truth values; convert the column, or leave it out."
            )
    levels: tuple[Any, ...] = ()
    ordered = False
    if column.dtype == "category":
        levels, ordered = tuple(_plain(values.cat.categories)), bool(values.cat.ordered)
    seen = replace(column, categories=tuple(found), levels=levels, ordered=ordered)
    return Seen(seen, int((codes >= 0).sum()), False, text)


def _kinds(given: Any, names: list[Any]) -> dict[int, str]:
    """What `likelihood` says of columns, by their numbers."""
    if not isinstance(given, Mapping):
        return {}
    known = (*LIKELIHOODS, CATEGORICAL)
    kinds = {}
    for name, kind in given.items():
        if kind not in known:
            raise ValueError(
                f"The 'likelihood' parameter must be a str among {sorted(known)} for each column, "
                f"got {kind!r} for column {name!r}."
            )
        kinds[_number_of(name, names, "likelihood")] = kind
    return kinds


def _numbers_of(chosen: Any, names: list[Any]) -> Iterator[int]:
    """The numbers of the columns that `categorical_features` names."""
    chosen = np.asarray(chosen)
    if chosen.ndim != 1:
        raise ValueError(
            "categorical_features must be one-dimensional, a mask, numbers or names of columns, "
            f"got an array of shape {chosen.shape}."
        )
    if chosen.dtype.kind == "b":
        if len(chosen) != len(names):
            raise ValueError(
                f"categorical_features is a mask of {len(chosen)} columns, but X has {len(names)}; "
                "give one value for each column."
            )
        yield from np.flatnonzero(chosen).tolist()
    elif chosen.dtype.kind in "iuOUT" or not len(chosen):
        for name in dict.fromkeys(chosen.tolist()):
            yield _number_of(name, names, "categorical_features")
    else:
        raise ValueError(
            "categorical_features must be a mask, or numbers or names of columns, got an array of "
            f"dtype {chosen.dtype}."
        )


def _number_of(name: Any, names: list[Any], parameter: str) -> int:
    if name in names and not isinstance(name, bool):
        return names.index(name)
    if isinstance(name, Integral) and not isinstance(name, bool):
        if -len(names) <= name < len(names):
            return int(name) % len(names)
        raise ValueError(
            f"{parameter} names column {name}, but X has columns 0 to {len(names) - 1}."
        )
    cure = "pass a DataFrame, or numbers of columns"
    if not all(isinstance(number, int) for number in names):
        shown = ", ".join(map(repr, names[:10])) + (", ..." if len(names) > 10 else "")
        cure = f"its columns are {shown}"
    raise ValueError(f"{parameter} names column {name!r}, which X has not; {cure}.")


# ------------------------------------------------------------------------------- reading


def as_table(X: Any) -> Any:
    """A DataFrame as it is, all else as an array with two dimensions."""
    if hasattr(X, "iloc"):
        return X
    if isinstance(X, list | tuple) and any(isinstance(v, str) for row in X[:1] for v in row):
        X = np.asarray(X, dtype=object)
    table = np.asarray(X)
    if table.ndim != 2:
        raise ValueError(f"Expected 2D array, got an array of {table.ndim} dimension(s) instead.")
    return table


def _column(X: Any, number: int) -> Any:
    return X.iloc[:, number] if hasattr(X, "iloc") else X[:, number]


def _chosen(X: Any, numbers: list[int]) -> Any:
    return X.iloc[:, numbers] if hasattr(X, "iloc") else X[:, numbers]


def _factorize(values: Any) -> tuple[np.ndarray, list[Any]]:
    """Which of the different values each one is, -1 for a missing one, and these values."""
    if hasattr(values, "factorize"):
        codes, found = values.factorize()
        return codes, _plain(found)
    numbers: dict[Any, int] = {}
    codes = np.array(
        [-1 if is_absent(v) else numbers.setdefault(v, len(numbers)) for v in _plain(values)], int
    )
    return codes, list(numbers)


def _plain(values: Any) -> list[Any]:
    """Values without their numpy types."""
    listed = np.asarray(values, dtype=object).tolist()
    return [value.item() if isinstance(value, np.generic) else value for value in listed]


def _plain_name(name: Any) -> Any:
    return name if isinstance(name, str | int) else str(name)


def _sorting(value: Any) -> tuple[str, Any]:
    return ("", value) if not isinstance(value, str) else ("text", value)


def _holds_texts(values: Any) -> bool:
    """Whether all values are texts, and not all of these numbers in another dress."""
    if str(values.dtype) not in TEXTS:
        return False
    _, found = _factorize(values)
    return bool(found) and all(isinstance(v, str) for v in found) and not all(map(_is_number, found))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


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


def _array_dtype(name: str) -> Any:
    """Of an array that gives back one with this dtype, into which means of numbers fit."""
    return object if name.startswith(("str", "object")) else np.dtype(name)


def _of_dtype(values: Any, column: Column) -> Any:
    """Values of a column of a DataFrame as what it came in as."""
    import pandas as pd

    if column.dtype == "category":
        return pd.Categorical(values, categories=list(column.levels), ordered=column.ordered)
    kind = pd.api.types.pandas_dtype(column.dtype)
    if column.categories:
        return pd.array(list(values), dtype=kind)
    if pd.api.types.is_bool_dtype(kind):
        return pd.array(values > 0.5, dtype=kind)
    if pd.api.types.is_integer_dtype(kind):
        return pd.array(np.round(values).astype(np.int64), dtype=kind)
    if pd.api.types.is_float_dtype(kind):
        return pd.array(values, dtype=kind)
    return np.asarray(values, float)

