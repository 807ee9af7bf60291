"""More rows for a fitted model, a batch at a time, without forgetting the older ones."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.utils import check_random_state

from skvade.estimators.facts import Facts
from skvade.estimators.predictor import snapshot
from skvade.estimators.warm_start import check_warm
from skvade.training.events import Listener
from skvade.training.jury import subsample
from skvade.training.peers import Peers, current_peers
from skvade.training.run import Keeper
from skvade.training.runtime import resolve_runtime

N_PASSES, RATE = 2, 0.25
UPDATE = "update"  # the phase of the records of all calls
OF_THE_FIT = (
    *("converged_", "n_iter_", "restart_agreement_", "_findings", "_n_runs", "_stays"),
    *("_comparison", "_label_counts"),
)
MAX_REPLAY, MAX_REPLAY_VALUES, LEAST = 2_000, 2_000_000, 200


class UpdatingMixin:
    """A model that keeps a sample of the rows that it has seen, and trains on it again."""

    def partial_fit(self, X: Any, y: Any = None) -> Any:
        """Go on with more rows of the same kind; the first call is `fit`.

        The model is trained for two passes over the new rows and a sample of those seen before, at
        most 2,000, in which every row seen has the same chance to be. The last phase goes on with
        them, neighbours are sought among both, and the learning rate is a quarter. There is no M
        step: in it a few new rows would outvote all before. Clusters keep their numbers, and the
        data their units; after a fit with `adversarial_iter` codes stay as they are. For another
        number of clusters, or rows of another kind, fit anew.

        Parameters
        ----------
        X : {array-like, sparse matrix, sparse array} of shape (n_samples, n_features)
            Rows with the columns of the first fit; one is enough.
        y : Ignored
            Present for API consistency by convention.

        Returns
        -------
        self
            `labels_` are those of the new rows; `cluster_sizes_` count all rows since the first
            fit, each in the cluster that it had when it came; `history_` goes on with a phase
            "update", whose epochs and steps are counted over all calls.

        Raises
        ------
        ValueError, TypeError
            If X is not valid; if a file was loaded of a model that cannot generate rows (files hold
            no rows of yours, and others that were loaded train on generated ones beside the new);
            in a group of processes. The model is as it was then.
        FloatingPointError
            If the loss stays non-finite although training was taken back and slowed.
        """
        if not hasattr(self, "module_"):
            return self.fit(X, y)
        return self._go_on(X, y)

    def _go_on(self, X: Any, y: Any) -> Any:
        """Train on more rows, if all is well, and be what comes of it."""
        if current_peers().size > 1:
            raise ValueError(
                f"{type(self).__name__}.partial_fit trains in one process; call it outside "
                "skvade.distributed.group, or fit anew with all rows."
            )
        worker, before = snapshot(self), dict(vars(self))
        worker._check_parameters()
        check_warm(worker, "partial_fit", "call fit to start anew")
        new = worker._check_new(X)
        labels = worker._read_more_labels(y, new.shape[0])
        draws = self.random_state if isinstance(self.random_state, np.random.RandomState) else None
        state = None if draws is None else draws.get_state()
        try:
            worker._update(new, labels)
        except BaseException:
            if draws is not None and state is not None:
                draws.set_state(state)
            raise
        parameters, after = self.get_params(deep=False), vars(worker)
        kept = {n: value for n, value in vars(self).items() if n in after or n not in before}
        fitted = {name: value for name, value in after.items() if name not in parameters}
        self.__dict__ = {**kept, **fitted}
        return self

    def _read_more_labels(self, y: Any, n_rows: int) -> np.ndarray | None:
        """The known classes of new rows, -1 where none is known; None, where there are no classes.

        Only classifiers have some.
        """
        return None

    def _update(self, new: Any, labels: np.ndarray | None) -> None:
        """Train a copy of the model on older and new rows, and publish it.

        Where there are classes, older rows count as what the model says of them.
        """
        before = {name: vars(self)[name] for name in OF_THE_FIT if name in vars(self)}
        sizes, learned = self.cluster_sizes_, self.history_
        n_seen, n_clusters = int(sizes.sum()), len(sizes)
        rng = _at(self.random_state, n_seen)
        older = self._older_rows(rng)
        both = _stacked(older, new)
        if labels is not None:
            labels = np.concatenate([self._predictor.labels(older), labels])
        runtime = resolve_runtime(self.device, self.precision)
        self.warm_start, self.early_stopping, self.max_iter = True, False, N_PASSES
        self.learning_rate = RATE * self.learning_rate
        facts, rows = self._prepare(both, runtime, True, rng, n_clusters, labels)
        facts = replace(facts, monitor=Listener())
        seed = int(rng.randint(2**31))
        given = (facts, rows, runtime, self.module_, seed)
        self._order = _as_they_are
        phases = self._make_update_phases
        trained = self._train(*given, keeper=Keeper(), listeners=[], make_phases=phases)
        self._finish(both, facts, [trained], rng)
        del self._order
        self.labels_ = self.labels_[-new.shape[0] :]
        counts = np.bincount(self._predictor.labels(new), minlength=n_clusters)
        self.cluster_sizes_ = sizes + counts
        self.history_ = [*learned, *_after(learned, self.history_)]
        self._replay = _renewed(older, new, n_seen, rng)
        vars(self).update(before)

    def _older_rows(self, rng: np.random.RandomState) -> Any:
        """The rows that were kept, or as many that the model generates."""
        if hasattr(self, "_replay"):
            return self._replay
        if not hasattr(self, "sample"):
            raise ValueError(
                f"This {type(self).__name__} holds no rows, as it was loaded from a file or is of "
                "an older version, and it generates none; fit it again before partial_fit, and "
                "keep it as a pickle."
            )
        weights = self.weights_ / self.weights_.sum()
        size = _size(MAX_REPLAY, self._summary.n_features)
        labels = rng.choice(len(weights), size, p=weights)
        return self._predictor.sample(labels, seed=int(rng.randint(2**31)))

    def _look_back(self, X: Any, facts: Facts, peers: Peers) -> None:
        """Keep a sample of the rows of a fit."""
        rng = np.random.RandomState(0)
        kept = np.sort(subsample(X.shape[0], _size(X.shape[0], X.shape[1]), rng))
        self._replay = X[kept].copy()
        super()._look_back(X, facts, peers)


def _after(learned: list[dict[str, Any]], updates: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Records of an update, which count on where the updates before it ended."""
    last = next((record for record in reversed(learned) if record["phase"] == UPDATE), None)
    ended = {"epoch": 0, "steps": 0} if last is None else last
    return [
        {**record, "phase": UPDATE, **{n: ended[n] + record[n] for n in ("epoch", "steps")}}
        for record in updates
    ]


def _size(n_rows: int, n_features: int) -> int:
    """How many rows are kept of so many."""
    return min(n_rows, MAX_REPLAY, max(LEAST, MAX_REPLAY_VALUES // n_features))


def _stacked(older: Any, new: Any) -> Any:
    if sp.issparse(older) or sp.issparse(new):
        return sp.csr_array(sp.vstack([sp.csr_array(older), sp.csr_array(new)]))
    return np.concatenate([older, new])


def _renewed(older: Any, new: Any, n_seen: int, rng: np.random.RandomState) -> Any:
    """A sample in which each row seen has had the same chance: places are given by lot."""
    n_all = n_seen + new.shape[0]
    size = max(older.shape[0], _size(n_all, new.shape[1]))
    if older.shape[0] + new.shape[0] <= size:
        return _stacked(older, new)
    n_new = min(new.shape[0], rng.binomial(size, new.shape[0] / n_all))
    n_new = max(n_new, size - older.shape[0])
    kept = np.sort(rng.permutation(older.shape[0])[: size - n_new])
    chosen = np.sort(rng.permutation(new.shape[0])[:n_new])
    return _stacked(older[kept], new[chosen])


def _at(random_state: Any, n_seen: int) -> np.random.RandomState:
    """A generator that differs from one batch to the next."""
    if isinstance(random_state, np.random.RandomState):
        return random_state
    if random_state is None:
        return np.random.RandomState()
    seed = int(check_random_state(random_state).randint(2**31))
    return np.random.RandomState((seed + n_seen) % 2**32)


def _as_they_are(counts: np.ndarray) -> np.ndarray:
    return np.arange(len(counts))
