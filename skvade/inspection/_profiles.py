"""Who is in a cluster: its typical values in the user's own columns, the telling ones first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.metrics.cluster import expected_mutual_information

from skvade.estimators.tables import as_table, container_of
from skvade.estimators.validation import is_absent
from skvade.inspection._fitted import Fitted

N_BINS = 10
MANY = 100  # rows that a cell of a table would have by chance
MISSING = "missing"
NAMES = ("cluster", "size", "rank", "column", "typical", "others", "difference", "unit")


@dataclass(frozen=True)
class Profile:
    """What one column says of one cluster.

    Attributes
    ----------
    cluster : int, str or other
        Its name.
    size : int
        Its rows.
    rank : int
        Of the column among those of the cluster, by information, from 1.
    column : str or other
    typical, others : float or object
        Of numbers and dates, the median in the cluster and in the other rows; of categories, those
        that are most and least frequent here compared with the others; "missing" is one of them.
    difference : float
        Of numbers, that of the means in standard deviations of the column; of categories, that of
        the shares.
    unit : {"standard deviations", "share"}
    information : float
        Share of what is uncertain of membership that the column tells, beyond chance.
    missing : float
        Share of the cluster's rows without a value.
    standardized : float
        The difference in standard deviations, of a category that of its indicator.
    """

    cluster: Any
    size: int
    rank: int
    column: Any
    typical: Any
    others: Any
    difference: float
    unit: str
    information: float
    missing: float
    standardized: float

    def __str__(self) -> str:
        """As a part of a sentence."""
        if self.unit == "share":
            return f"{self.column} = {self.typical} ({self.difference:+.0%})"
        numbers = f"{in_short(self.typical, 4)} against {in_short(self.others, 4)}"
        return f"{self.column} {numbers} ({self.difference:+.1f} sd)"


def in_short(value: Any, digits: int) -> str:
    """A number with so many digits that count, or a date or a duration."""
    if not isinstance(value, Real):
        return str(value).removesuffix(" 00:00:00")
    if not 1e-4 <= abs(value) < 1e7:
        return f"{value:.{digits}g}"
    return np.format_float_positional(value, digits, unique=False, fractional=False, trim="-")


def cluster_profiles(estimator: Any, X: Any) -> Any:
    """What tells each cluster from the rest, in the columns of X.

    Columns are those that come in, before any step of a pipeline: numbers, texts, categories,
    truth values, with or without missing values. They are ordered by

        (I - E[I]) / H

    with the mutual information I of a column in bins and of being in the cluster or not, whose
    entropy is H; E[I] is what it is in the mean over all orders of the rows, so that many values
    are not many signs. Bins are the deciles of numbers, dates and durations (a value that is one of
    ten, or that a tenth of the rows have, has its own), the categories, and what is missing. It is
    nearly 1 where the column alone says who is in the cluster, and about 0, or less, where it says
    nothing.

    Parameters
    ----------
    estimator : estimator, Pipeline or search
        A fitted estimator of skvade, or a pipeline or search that ends in one.
    X : {array-like, sparse matrix, sparse array} of shape (n_samples, n_features)
        Rows as the estimator takes them; they are assigned by `predict`.

    Returns
    -------
    DataFrame
        A line for each cluster and column, in the order of clusters and of information, with
        `cluster`, its `size`, `rank`, `column`, `typical` and `others` (of numbers the medians in
        the cluster and in other rows; of categories, of which "missing" is one, those that are
        most and least frequent here compared with other rows), `difference` (of means in standard
        deviations of the column; of shares), its `unit`, `information`, and the share of the
        cluster's rows that is `missing`.

    Raises
    ------
    ImportError
        If pandas is not installed.
    TypeError
        If the estimator is none of skvade's.

    References
    ----------
    Vinh, Epps, Bailey, "Information theoretic measures for clusterings comparison", JMLR 11, 2010.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skvade import VaDEClustering
    >>> from skvade.inspection import cluster_profiles
    >>> X, _ = load_wine(return_X_y=True, as_frame=True)
    >>> model = make_pipeline(StandardScaler(), VaDEClustering(3, random_state=0)).fit(X)
    >>> profiles = cluster_profiles(model, X)
    >>> len(profiles)  # three clusters of thirteen columns
    39
    >>> best = profiles[profiles["rank"] == 1]
    >>> "proline" in set(best["column"])
    True
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise ImportError(
            "cluster_profiles needs pandas, which is not installed: pip install pandas"
        ) from error
    profiles = profiles_of(Fitted(estimator, "cluster_profiles"), X)
    names = [*NAMES, "information", "missing"]
    return pd.DataFrame({name: [getattr(p, name) for p in profiles] for name in names})


def profiles_of(fitted: Fitted, X: Any) -> list[Profile]:
    """Those of all clusters that have rows, and of all columns."""
    labels = fitted.labels(X)
    columns = [Column(*column) for column in _columns(X, fitted.names_in)]
    profiles = []
    for cluster in fitted.cluster_names:
        inside = labels == cluster
        if not inside.any():
            continue
        found = [(column, column.information(inside)) for column in columns]
        found.sort(key=lambda pair: -pair[1])
        profiles += [
            column.profile(cluster, inside, rank, information)
            for rank, (column, information) in enumerate(found, start=1)
        ]
    return profiles


class Column:
    """A column of a table.

    Parameters
    ----------
    name : str or other
    values : ndarray of shape (n_samples,)
        Of floats, NaN where missing, or of objects, None where missing.
    restored : callable
        Makes of a float what the column holds, a date for instance.
    """

    def __init__(self, name: Any, values: np.ndarray, restored: Callable[[float], Any] = float):
        self.name = name
        self.values = values
        self.restored = restored
        self.is_number = values.dtype.kind == "f"
        self.absent = np.isnan(values) if self.is_number else np.array([v is None for v in values])
        self.categories, self.bins = self._binned()

    def _binned(self) -> tuple[np.ndarray, np.ndarray]:
        """The categories, if they are, and the bin of each row, the last for missing values."""
        seen = self.values[~self.absent]
        bins = np.zeros(len(self.values), int)
        if self.is_number:
            edges = _edges(seen)
            bins[~self.absent] = np.searchsorted(edges, seen, side="right")
            categories = np.arange(len(edges) + 1)
        else:
            categories, found = np.unique(seen.astype(str), return_inverse=True)
            bins[~self.absent] = found
        bins[self.absent] = len(categories)
        return categories, bins

    def information(self, inside: np.ndarray) -> float:
        """As `cluster_profiles` has it."""
        n_rows = len(inside)
        table = np.zeros((len(self.categories) + 1, 2))
        np.add.at(table, (self.bins, inside.astype(int)), 1)
        table = table[table.any(1)]
        p = table / n_rows
        rows, columns = p.sum(1, keepdims=True), p.sum(0, keepdims=True)
        with np.errstate(divide="ignore", invalid="ignore"):
            mutual = np.nansum(p * np.log(p / (rows * columns)))
            entropy = -np.nansum(columns * np.log(columns))
        if (rows * columns).min() * n_rows > MANY:
            by_chance = (len(table) - 1) / (2 * n_rows)  # to first order in 1 / n, at once
        else:
            by_chance = expected_mutual_information(table.astype(np.int64), n_rows)
        return float((mutual - by_chance) / entropy) if entropy > 0 else 0.0

    def profile(self, cluster: Any, inside: np.ndarray, rank: int, information: float) -> Profile:
        """What this column says of the rows inside."""
        typical, others, difference, scale = (
            self._numbers(inside) if self.is_number else self._shares(inside)
        )
        if self.is_number:
            typical, others = self.restored(typical), self.restored(others)
        return Profile(
            cluster=cluster,
            size=int(inside.sum()),
            rank=rank,
            column=self.name,
            typical=typical,
            others=others,
            difference=difference,
            unit="standard deviations" if self.is_number else "share",
            information=information,
            missing=float(self.absent[inside].mean()),
            standardized=difference / scale if scale > 0 else 0.0,
        )

    def _numbers(self, inside: np.ndarray) -> tuple[Any, Any, float, float]:
        here, there = inside & ~self.absent, ~inside & ~self.absent
        if not here.any() or not there.any():
            return _median(self.values[here]), _median(self.values[there]), 0.0, 1.0
        spread = self.values[~self.absent].std()
        apart = self.values[here].mean() - self.values[there].mean()
        varies = np.ptp(self.values[~self.absent]) > 0  # of a constant the spread is rounding
        difference = float(apart / spread) if varies else 0.0
        return _median(self.values[here]), _median(self.values[there]), difference, 1.0

    def _shares(self, inside: np.ndarray) -> tuple[Any, Any, float, float]:
        names = [*self.categories.tolist(), MISSING]
        counts = [np.bincount(self.bins[rows], minlength=len(names)) for rows in (inside, ~inside)]
        here, there = (count / max(1, count.sum()) for count in counts)
        excess = here - there if counts[1].any() else np.zeros(len(names))
        most = int(excess.argmax()) if excess.any() else int(here.argmax())
        whole = sum(counts)[most] / len(inside)
        spread = float(np.sqrt(whole * (1 - whole)))
        return str(names[most]), str(names[excess.argmin()]), float(excess[most]), spread


def _edges(seen: np.ndarray) -> np.ndarray:
    """Between the bins: the deciles, and beside a value that many rows have; few values all.

    A bin begins with its edge, so that the lowest value has one of its own by the number after it.
    """
    values = np.unique(seen)
    if len(values) <= N_BINS:
        return values[1:]
    deciles = np.quantile(seen, np.arange(1, N_BINS) / N_BINS)
    many = np.r_[deciles[1:][deciles[1:] == deciles[:-1]], deciles[deciles == values[0]]]
    return np.unique(np.r_[deciles, np.nextafter(many, np.inf)])


def _median(values: np.ndarray) -> float:
    return float(np.median(values)) if len(values) else float("nan")


def _columns(X: Any, names: Any) -> Iterator[tuple[Any, ...]]:
    """Names and values of all columns, floats or objects, and what floats stand for."""
    if container_of(X) in ("polars", "pyarrow"):
        X = as_table(X)
    if hasattr(X, "columns") and hasattr(X, "iloc"):
        for number, name in enumerate(X.columns):
            column = X.iloc[:, number]
            if getattr(column.dtype, "kind", None) in ("m", "M"):
                yield name, *_of_time(column)
            else:
                yield name, _values(column.to_numpy(dtype=object, na_value=None))
        return
    if hasattr(X, "columns") and hasattr(X, "to_numpy"):
        names = list(X.columns)
    table = X.toarray() if issparse(X) else np.asarray(X)
    if names is None or len(names) != table.shape[1]:
        names = [f"x{number}" for number in range(table.shape[1])]
    for number, name in enumerate(names):
        yield name, _values(table[:, number])


def _of_time(column: Any) -> tuple[np.ndarray, Callable[[float], Any]]:
    """Dates or durations as floats, in seconds from the first, and the way back."""
    import pandas as pd

    column = column.dt.as_unit("us")  # nanoseconds hold three centuries only
    first = column.min()
    values = (column - first).dt.total_seconds().to_numpy(dtype=float, na_value=np.nan)

    def restored(seconds: float) -> Any:
        known = np.isfinite(seconds)
        return first + np.timedelta64(round(seconds * 1e6), "us") if known else pd.NaT

    return values, restored


def _values(column: np.ndarray) -> np.ndarray:
    """Floats where all that is there are numbers, else objects with None where nothing is."""
    if column.dtype.kind in "iuf":
        return column.astype(float)
    objects = np.array([None if is_absent(v) else v for v in column.tolist()], dtype=object)
    seen = [value for value in objects if value is not None]
    if seen and all(
        isinstance(v, Real | Decimal) and not isinstance(v, bool | np.bool_) for v in seen
    ):
        return np.array([np.nan if value is None else value for value in objects], dtype=float)
    return objects
