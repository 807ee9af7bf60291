"""What the classifiers share: labels, some of which may be missing."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils import check_consistent_length
from sklearn.utils.multiclass import check_classification_targets

from skvade.estimators.base import BaseDeepModel
from skvade.estimators.facts import Facts
from skvade.estimators.labels import UNLABELED, as_labels, missing_labels, with_unnamed
from skvade.estimators.parameters import DeepParameters, parameters
from skvade.estimators.predictor import of_one_fit
from skvade.estimators.recipe import MakeEncoded
from skvade.estimators.updating import UpdatingMixin
from skvade.estimators.validation import warn
from skvade.objectives.base import EncodedObjective
from skvade.objectives.denoising import WithDenoising
from skvade.objectives.labels import LabeledRows, WithLabels
from skvade.training.peers import Peers, current_peers

DROPOUT = 0.1  # of the pass with noise, as in DEPICT
MANY_WRONG = 0.1  # of the labels of new rows
FOLLOWED = 0.5  # of what labels say beyond the most frequent one


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


class SemiSupervisedClassifier(UpdatingMixin, ClassifierMixin, BaseDeepModel, ClassifierParameters):
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

    def partial_fit(self, X: Any, y: Any, classes: Any = None) -> Any:
        """Go on with more rows of the same kind; the first call is `fit`.

        The model is trained for two passes over the new rows and a sample of those seen before, at
        most 2,000, in which every row seen has the same chance to be, and which count as what the
        model says of them. The learning rate is a quarter, and there is no M step: classes stay
        where they are, and labels that contradict them hardly move them, which a warning says. To
        correct classes, for more of them, or for rows of another kind, fit anew.

        Parameters
        ----------
        X : {array-like, sparse matrix, sparse array} of shape (n_samples, n_features)
            Rows with the columns of the first fit; one is enough.
        y : array-like of shape (n_samples,)
            Their labels, of those that the first fit had; -1 marks a row without one.
        classes : array-like of shape (n_classes,) or None, default=None
            All classes, as scikit-learn's `partial_fit` takes them. Here y of the first call names
            them; what is passed is compared with that.

        Returns
        -------
        self
            `labels_` are those of the new rows; `cluster_sizes_` count all rows since the first
            fit, each in the class that it had when it came.

        Raises
        ------
        ValueError, TypeError
            If X or y is not valid, if y has a label that the first did not have, or the first lacks
            one of `classes`; if a file was loaded of a model that cannot generate rows; in a group
            of processes. The model is as it was then.
        FloatingPointError
            If the loss stays non-finite although training was taken back and slowed.
        """
        fitted = hasattr(self, "module_")
        if classes is not None and fitted:
            _compare_classes(classes, set(self.classes_[: self._n_labeled].tolist()))
        elif classes is not None and y is not None:
            of_all = current_peers().collect(set(as_labels(y).tolist()))
            _compare_classes(classes, set().union(*of_all) - {UNLABELED})
        return self._go_on(X, y) if fitted else self.fit(X, y)

    def _update(self, new: Any, labels: Any) -> None:
        super()._update(new, labels)
        (known,) = np.nonzero(labels >= 0)
        n_wrong = int((self.labels_[known] != self.classes_[labels[known]]).sum())
        if n_wrong > MANY_WRONG * len(known):
            warn(
                f"{n_wrong} of {len(known)} new rows with a label are in another class of the "
                f"model: {type(self).__name__}.partial_fit leaves classes where they are. To "
                "correct them, fit anew with all rows.",
                UserWarning,
            )

    def _read_more_labels(self, y: Any, n_rows: int) -> np.ndarray:
        names, n_labeled = self.classes_.tolist(), self._n_labeled
        known = {name: c for c, name in enumerate(names[:n_labeled])}
        if self.n_classes not in (None, len(names)):
            raise ValueError(
                f"partial_fit goes on with the fitted model's {len(names)} classes, got n_classes="
                f"{self.n_classes}; set it back, or call fit to start anew."
            )
        y = self._checked(y, n_rows)
        missing = np.zeros(n_rows, bool)
        if UNLABELED not in known:
            missing = missing_labels(y, len(names), set())
        others = [name for name in np.unique(y[~missing]).tolist() if name not in known]
        if others:
            raise ValueError(
                f"y has the labels {others}, which no row had in the first call; those are "
                f"{names[:n_labeled]}. Correct them, or fit anew with all rows."
            )
        labels = np.full(n_rows, UNLABELED)
        labels[~missing] = [known[name] for name in y[~missing].tolist()]
        return labels

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
        self._label_counts = np.zeros((2, len(self.classes_)), int)  # until `_look_back`

    def _look_back(self, X: Any, facts: Facts, peers: Peers) -> None:
        """How many labels there were, and how many rows with one are in its class."""
        super()._look_back(X, facts, peers)
        counts = self._label_counts
        if facts.labels is not None:
            labels = facts.dealt.give_back(facts.labels, len(facts.trained_on), peers)
            (known,) = np.nonzero(labels >= 0)
            right = self.labels_[facts.trained_on[known]] == self.classes_[labels[known]]
            of_each = (known, known[right])
            counts = np.stack([np.bincount(labels[i], minlength=counts.shape[1]) for i in of_each])
        self._label_counts = peers.total(counts)

    def _objections(self) -> tuple[str, ...]:
        if not hasattr(self, "_label_counts"):  # as in older pickles
            return ()
        n_known, n_right = self._label_counts.sum(1).tolist()
        most = int(self._label_counts[0].max())
        if n_known == most or n_right - most >= FOLLOWED * (n_known - most):
            return ()
        return (
            f"Of {n_known} rows with a label {n_right} are in its class, where {most} have the "
            "most frequent label: the classes of this model are not those of the labels. Check "
            "the labels, give more of them, or compare a classifier of the labelled rows alone.",
        )

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

    def _checked(self, y: Any, n_rows: int) -> np.ndarray:
        """Labels of so many rows."""
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None; pass -1 "
                "for rows without a label."
            )
        y = as_labels(y)
        check_consistent_length(np.empty(n_rows), y)
        return y

    def _read_labels(self, y: Any, n_samples: int) -> tuple[int, np.ndarray | None]:
        peers = current_peers()
        with peers.together():
            y = self._checked(y, n_samples)
        numbers = set(np.unique(y).tolist()) if y.dtype.kind in "iuf" else set()
        numbers = set().union(*peers.collect(numbers))
        with peers.together():
            missing = missing_labels(y, self.n_classes, numbers)
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
        self.classes_ = with_unnamed(names, n_clusters - len(names))
        labels = np.full(n_samples, UNLABELED)
        labels[~missing] = codes
        return n_clusters, labels if len(names) else None

    def _shape_parameters(self) -> dict[str, Any]:
        labeled = self.classes_[: self._n_labeled]
        own = {"classes": self.classes_.tolist(), "labelled classes": labeled.tolist()}
        return {**super()._shape_parameters(), **own}


def _compare_classes(classes: Any, known: set[Any]) -> None:
    """Refuse `classes` of `partial_fit` that are not those of the first call."""
    told = set(as_labels(np.array([*classes], object)).tolist())
    told -= {UNLABELED} - known
    if told != known:
        raise ValueError(
            f"classes holds {[*map(str, told - known)]} beyond the classes that y named in the "
            f"first call, and lacks {[*map(str, known - told)]} of them; label a row of every "
            "class there, or leave classes out."
        )


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
