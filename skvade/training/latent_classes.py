"""The first partition of a table that is mostly categories: latent classes of its rows.

    p(x) = sum_c pi_c prod_d p(x_d | c)

over what is observed of each row, with a Gaussian for each number and a share for each category,
fitted by expectation-maximisation, as if each class had some rows more that are as all rows are.
Codes know distances, which say little where most columns hold one of a few values; classes ask in
which columns rows are alike.

References
----------
Vermunt, Magidson, "Latent class cluster analysis", in: Applied latent class analysis, 2002.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from sklearn.metrics import adjusted_rand_score

from skvade.nn.mixed import Mixed
from skvade.training.batches import Rows
from skvade.training.initialiser import Initialiser, Partition
from skvade.training.jury import subsample
from skvade.training.neighbourhood import Neighbourhood
from skvade.training.peers import Peers
from skvade.training.runtime import on_one_blas_thread
from skvade.training.units import row_slices

FLOOR = 1e-2  # least variance of a number within a class; over all rows it is one
LEAST = 1e-9  # share


@dataclass(frozen=True)
class Table:
    """Rows as latent classes see them.

    Attributes
    ----------
    values : ndarray of shape (n_rows, n_columns), float32
        Numbers of variance one, and zeros and ones, of which those of a category have the sum one;
        NaN where a value is missing.
    is_share : ndarray of shape (n_columns,), bool
        Which are zeros and ones.
    """

    values: np.ndarray
    is_share: np.ndarray

    @classmethod
    def of(cls, rows: Rows, likelihood: Mixed) -> Table:
        """The table of rows of a mixed likelihood."""
        values = rows.map(likelihood.as_classes, row_bytes=8 * rows.n_features).numpy()
        return cls(values, np.array(likelihood.are_shares))

    def restricted(self, rows: np.ndarray) -> Table:
        """The given rows only."""
        return replace(self, values=_taken(self.values, rows))

    def dealt(self, kept: np.ndarray, numbers: np.ndarray, peers: Peers) -> Table:
        """In the main process the rows that all keep, by their numbers; in the others none."""
        everyone = peers.to_main(_taken(self.values, kept))
        return replace(self, values=_taken(everyone, numbers) if peers.is_main else everyone)


class Seen(NamedTuple):
    """What is observed of rows, each array (n_rows, n_columns) and 0 where a value is missing.

    Attributes
    ----------
    values, squares : ndarray
    there : ndarray
        1 where there is a value.
    """

    values: np.ndarray
    squares: np.ndarray
    there: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray) -> Seen:
        """What is not NaN, as float64."""
        absent = np.isnan(values)
        seen = np.where(absent, 0.0, values.astype(np.float64))
        return cls(seen, seen**2, (~absent).astype(np.float64))

    def mean(self) -> Seen:
        """One row, of the means of each column's values and squares."""
        counts = np.maximum(self.there.sum(0, keepdims=True), 1)
        means, squares = self.values.sum(0) / counts, self.squares.sum(0) / counts
        return Seen(means, squares, np.ones_like(counts))


@dataclass(frozen=True)
class Classes:
    """Latent classes that have been fitted.

    Attributes
    ----------
    log_weights : ndarray of shape (n_classes,)
    means, variances : ndarray of shape (n_classes, n_columns)
        Of a zero or one, the mean is its share.
    """

    log_weights: np.ndarray
    means: np.ndarray
    variances: np.ndarray

    def log_joint(self, rows: Seen, is_share: np.ndarray) -> np.ndarray:
        """log pi_c p(x | c) of what is observed, (n_rows, n_classes)."""
        numbers = ~is_share
        x, squares, there = (part[:, numbers] for part in rows)
        means, variances = self.means[:, numbers], self.variances[:, numbers]
        # -1/2 sum_d [ (x_d - m_d)^2 / v_d + log(2 pi v_d) ], term by term
        constant = means**2 / variances + np.log(2 * np.pi * variances)
        log_p = x @ (means / variances).T - 0.5 * (squares @ (1 / variances).T + there @ constant.T)
        shares = np.clip(self.means[:, is_share], LEAST, 1.0)
        return self.log_weights + log_p + rows.values[:, is_share] @ np.log(shares).T


@dataclass(frozen=True)
class LatentClassStart(Initialiser):
    """Latent classes of the rows, the most probable of several fits; codes are not looked at.

    Attributes
    ----------
    table : Table
        Of the rows whose codes are given.
    n_clusters : int
    n_restarts : int
    max_samples : int
        Rows that classes are fitted to.
    max_iter : int
        Of expectation-maximisation.
    tol : float
        Nats per row, below which it has ended.
    prior : float
        Rows that each class has beside its own, spread as all rows are.
    """

    table: Table
    n_clusters: int
    n_restarts: int = 10
    max_samples: int = 20_000
    max_iter: int = 200
    tol: float = 1e-4
    prior: float = 1.0

    def __call__(
        self, codes: np.ndarray, seed: int, neighbours: Neighbourhood | None = None
    ) -> Partition:
        rng = np.random.RandomState(seed)
        chosen = self.table.restricted(subsample(len(self.table.values), self.max_samples, rng))
        with on_one_blas_thread():
            fits = [self.fit_one(chosen, rng) for _ in range(self.n_restarts)]
            fits.sort(key=lambda fit: fit[0], reverse=True)
            found = [self.assign(classes, self.table) for _, classes in fits[:2]]
        agreement = adjusted_rand_score(*found) if len(found) == 2 else float("nan")
        return Partition(found[0], agreement, stays=True)

    def assign(self, classes: Classes, table: Table) -> np.ndarray:
        """The most probable class of each row."""
        n_rows, n_columns = table.values.shape
        labels = np.empty(n_rows, int)
        for part in row_slices(n_rows, n_columns, 64 * self.n_clusters):
            rows = Seen.of(table.values[part])
            labels[part] = classes.log_joint(rows, table.is_share).argmax(1)
        return labels

    def fit_one(self, table: Table, rng: np.random.RandomState) -> tuple[float, Classes]:
        """The log-posterior per row, and classes, from some rows, half way to the mean of all.

        The posterior counts the prior's rows, without which the likeliest class may be a few rows
        of about one value. From memberships at random many rows would all begin at that mean, which
        is no optimum and yet hard to leave. The rows differ, since classes that begin alike stay
        alike.
        """
        rows = Seen.of(table.values)
        as_all = rows.mean()
        mean, square, _ = as_all
        chosen = _different(table.values, self.n_clusters, rng)
        means = (mean + np.where(rows.there[chosen] > 0, rows.values[chosen], mean)) / 2
        variances = np.tile(np.maximum(square - mean**2, FLOOR), (self.n_clusters, 1))
        classes = Classes(np.full(self.n_clusters, -np.log(self.n_clusters)), means, variances)
        before = -np.inf
        for _ in range(self.max_iter):
            log_joint = classes.log_joint(rows, table.is_share)
            top = log_joint.max(1, keepdims=True)
            likelihood = np.exp(log_joint - top)
            total = likelihood.sum(1, keepdims=True)
            members = likelihood / total
            # log p(x) of the rows, and the prior's rows in each class
            log_prior = self.prior * classes.log_joint(as_all, table.is_share).sum()
            bound = float((top + np.log(total)).mean() + log_prior / len(members))
            if bound - before < self.tol:
                break
            before = bound
            weights = members.sum(0) + self.prior
            mass = members.T @ rows.there + self.prior
            means = (members.T @ rows.values + self.prior * mean) / mass
            variances = (members.T @ rows.squares + self.prior * square) / mass - means**2
            log_weights = np.log(weights / weights.sum())
            classes = Classes(log_weights, means, np.maximum(variances, FLOOR))
        return bound, classes


def _taken(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """These rows; no copy where they are all in their order."""
    return values if np.array_equal(rows, np.arange(len(values))) else values[rows]


def _different(values: np.ndarray, n_rows: int, rng: np.random.RandomState) -> np.ndarray:
    """The numbers of some rows, which differ, as far as there are such."""
    found: dict[bytes, int] = {}
    for row in rng.permutation(len(values)).tolist():
        found.setdefault(values[row].tobytes(), row)
        if len(found) == n_rows:
            break
    return np.resize([*found.values()], n_rows)
