"""What the classifiers share: labels, some of which may be missing."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils import assert_all_finite, check_consistent_length, column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from skvade.estimators.base import BaseDeepModel
from skvade.estimators.parameters import DeepParameters, parameters
from skvade.estimators.predictor import of_one_fit
from skvade.estimators.recipe import MakeEncoded
from skvade.estimators.validation import is_absent, warn
from skvade.objectives.base import EncodedObjective
from skvade.objectives.denoising import WithDenoising
from skvade.objectives.labels import LabeledRows, WithLabels
from skvade.training.peers import current_peers

UNLABELED = -1
DROPOUT = 0.1  # of the pass with noise, as in DEPICT


@parameters
class ClassifierParameters(DeepParameters):
    """Of every classifier.

    Parameters
    ----------
    n_classes : int or None, default=None
        Number of classes, including those without any label; None for the number of classes in y.
        Classes without a label are named by the integers after the largest label, so y must then
        hold integers.
    denoising_weight : float, default=0.0
        Weight of a denoising cost in the last phase, as ladder networks have it: a pass in which a
        tenth of the values of the input and of every hidden layer are dropped must still
        reconstruct the row, by the likelihood, and the layers of the pass without noise. With
        networks of your own, whose layers are not known, noise is in the input alone, and rows
        alone are reconstructed. On our data it does not make classes more accurate; 0 leaves it
        out.
    """

    n_classes: int | None = None
    denoising_weight: float = 0.0


class SemiSupervisedClassifier(ClassifierMixin, BaseDeepModel, ClassifierParameters):
    """Classes that are clusters, some of whose rows are labelled.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels in order, then the names of clusters without any.
    labels_ : ndarray of shape (n_samples,)
        Class of each training row; the same as `predict`.
    cluster_sizes_ : ndarray of shape (n_classes,)
        Training rows in each class, in the order of `classes_`.
    """

    _count = "n_classes"
    _finds_unlabeled = True
    _cure_of_no_labels = "set n_classes to find that many classes without any"
    _cure_of_empty = "Label more rows of them, or lower n_classes."

    def fit(
        self, X: Any, y: Any, *, checkpoint: Any = None, checkpoint_interval: float = 300.0
    ) -> Any:
        """Train on X, some of whose rows have a label.

        Parameters
        ----------
        X : {array-like, sparse matrix, sparse array} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
            Labels; -1 marks a row without one (in an object array, beside strings). None, NaN and
            pandas' NA are refused. Where `n_classes` is None and the labels are -1 and 1 alone,
            both are classes, with a warning.
        checkpoint : path-like or None, default=None
            A file that keeps the state of the fit; see :meth:`VaDEClustering.fit`.
        checkpoint_interval : float, default=300.0
            Seconds from one state to the next.

        Returns
        -------
        self
            The fitted estimator.

        Raises
        ------
        ValueError, TypeError
            If a parameter, X or y is not valid; nothing has been trained then. After any error the
            estimator is as it was before the call.
        FloatingPointError
            If the loss stays non-finite although training was taken back and slowed.
        """
        return self._fit_whole(X, y, checkpoint, checkpoint_interval)

    @of_one_fit
    def predict(self, X: Any) -> np.ndarray:
        """The most probable class of each row.

        Parameters
        ----------
        X : {array-like, sparse matrix, sparse array} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        return self._named(super().predict(X))

    def _publish(self, X: Any, candidates: Any, rng: np.random.RandomState) -> None:
        super()._publish(X, candidates, rng)
        self.labels_ = self._named(self.labels_)

    def _beside_noise(self, objective: MakeEncoded) -> MakeEncoded:
        if not self.denoising_weight:
            return objective
        return lambda run: WithDenoising(objective(run), self.denoising_weight, DROPOUT)

    def _named(self, clusters: np.ndarray) -> np.ndarray:
        return self.classes_[clusters]

    def _order(self, counts: np.ndarray) -> np.ndarray:
        """Classes keep their places; clusters without labels come by size after them."""
        places = np.arange(len(counts))
        without = self._n_labeled + super()._order(counts[self._n_labeled :])
        return np.concatenate([places[: self._n_labeled], without])

    def _read_labels(self, y: Any, n_samples: int) -> tuple[int, np.ndarray | None]:
        peers = current_peers()
        with peers.together():
            if y is None:
                raise ValueError(
                    f"{type(self).__name__} requires y to be passed, but the target y is None; "
                    "pass -1 for rows without a label."
                )
            y = _as_labels(y)
            check_consistent_length(np.empty(n_samples), y)
        numbers = set(np.unique(y).tolist()) if y.dtype.kind in "iuf" else set()
        numbers = set().union(*peers.collect(numbers))
        with peers.together():
            missing = _missing(y, self.n_classes, numbers)
            check_classification_targets(y[~missing])
        names = np.unique(np.concatenate(peers.collect(np.unique(y[~missing]))))
        codes = np.searchsorted(names, y[~missing])
        n_clusters = len(names) if self.n_classes is None else self.n_classes
        with peers.alike():
            if not len(names) and (self.n_classes is None or not self._finds_unlabeled):
                raise ValueError(f"y has no labels, only -1; {self._cure_of_no_labels}.")
            if n_clusters < len(names):
                raise ValueError(
                    f"y has {len(names)} classes, more than n_classes={n_clusters}; raise "
                    "n_classes to at least that, or set it to None."
                )
        self._n_labeled = len(names)
        self.classes_ = _with_unnamed(names, n_clusters - len(names))
        labels = np.full(n_samples, UNLABELED)
        labels[~missing] = codes
        return n_clusters, labels if len(names) else None

    def _shape_parameters(self) -> dict[str, Any]:
        labeled = self.classes_[: self._n_labeled]
        own = {"classes": self.classes_.tolist(), "labelled classes": labeled.tolist()}
        return {**super()._shape_parameters(), **own}


@parameters
class LabelTerm:
    """For classifiers whose loss has a term of its own for labels.

    Parameters
    ----------
    label_weight : float, default=100.0
        Weight of -log q(y|x) on labelled rows, in nats, relative to the loss of all rows. Lower it
        where labels may be wrong.
    """

    label_weight: float = 100.0

    def _beside_labels(
        self, objective: EncodedObjective, known: LabeledRows | None
    ) -> EncodedObjective:
        return WithLabels(objective, known, self.label_weight) if known else objective


def _as_labels(y: Any) -> np.ndarray:
    """One-dimensional labels: strings beside -1 as objects, all others in a dtype of their own."""
    _refuse_absent(y)
    y = column_or_1d(y, warn=True)
    if y.dtype.kind == "O":
        if any(isinstance(label, str) for label in y):
            known = [label for label in y if not _is_missing(label)]
            if str(UNLABELED) in known:
                raise ValueError(
                    f"y holds the string '{UNLABELED}'; write the number -1 in an object array, in "
                    "which it marks rows without a label: y.astype(object), then set it there."
                )
            if not all(isinstance(label, str) for label in known):
                raise ValueError(
                    "y mixes strings with other labels; use one kind, and -1 (the number, in an "
                    "object array) for rows without a label."
                )
            return y
        y = np.array(y.tolist())
    if y.dtype.kind in "US" and np.any(y == np.array(str(UNLABELED), y.dtype)):
        raise ValueError(
            "y holds the string '-1', as a list of strings and -1 becomes in numpy; pass "
            "np.array(y, dtype=object), in which -1 stays a number and marks rows without a label."
        )
    if y.dtype.kind in "fc":
        assert_all_finite(y, input_name="y")
    return y


def _refuse_absent(y: Any) -> None:
    """Rows without a label are marked by -1; None, NaN, NaT and pandas' NA may be mistakes."""
    values = np.asarray(y).ravel()
    if values.dtype.kind in "fcmM":
        (rows,) = np.nonzero(np.isnat(values) if values.dtype.kind in "mM" else np.isnan(values))
    elif values.dtype.kind == "O":
        rows = [row for row, value in enumerate(values) if is_absent(value)]
    else:
        return
    if len(rows):
        kind = "NaN" if values.dtype.kind in "fc" else str(values[rows[0]])
        raise ValueError(
            f"Input y contains {kind} in row {rows[0]} (and in {len(rows) - 1} more); pass -1 for "
            "rows without a label, beside strings as a number: pandas' y.astype(object).fillna(-1)."
        )


def _is_missing(label: Any) -> bool:
    return not isinstance(label, str) and label == UNLABELED


def _missing(y: np.ndarray, n_classes: int | None, numbers: set[float]) -> np.ndarray:
    """Which labels are missing, where these numbers are present in any process."""
    if y.dtype.kind == "O":
        return np.array([_is_missing(label) for label in y], bool)
    if y.dtype.kind not in "iuf":
        return np.zeros(len(y), bool)
    missing = y == UNLABELED
    # One class among unlabelled rows leaves nothing to tell apart: -1 and 1 are two classes.
    pair = n_classes is None and numbers == {-1, 1}
    if pair:
        warn(
            "y holds -1 and 1 alone, which are taken as two classes. If -1 marks rows without a "
            "label, set n_classes to the number of classes; else name them otherwise, 0 and 1.",
            UserWarning,
        )
    return missing & (not pair)


def _with_unnamed(names: np.ndarray, n_unnamed: int) -> np.ndarray:
    """The labels, and as many integers after the largest of them, from 0."""
    if not n_unnamed:
        return names
    if not len(names):
        return np.arange(n_unnamed)
    if names.dtype.kind not in "iu":
        raise ValueError(
            f"n_classes asks for {n_unnamed} more classes than y names, which can only be named "
            f"after integers; y has {names.dtype} labels. Encode y, or set n_classes=None."
        )
    return np.array([*names.tolist(), *(max(-1, int(names[-1])) + 1 + np.arange(n_unnamed))])
