"""What displays ask of a fitted estimator, alone or as the end of a pipeline or of a search."""

from __future__ import annotations

from collections.abc import Sequence
from inspect import signature
from numbers import Integral
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.pipeline import Pipeline
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from skvade.estimators.base import BaseDeepModel
from skvade.estimators.density import NOISE
from skvade.estimators.predictor import snapshot
from skvade.estimators.tables import container_of

N_REFERENCE = 1_000

AS_MATRICES = {
    "full": lambda covariances, eye: covariances,
    "tied": lambda covariances, eye: covariances,
    "diag": lambda covariances, eye: covariances[:, :, None] * eye,
    "spherical": lambda covariances, eye: covariances[:, None, None] * eye,
}


class Fitted:
    """The public side of an estimator, with rows in the units of the data that the user has.

    Parameters
    ----------
    estimator : estimator, Pipeline or search
    caller : str
        Of the display, for messages.
    """

    def __init__(self, estimator: Any, caller: str):
        self.model, before = _unwrapped(estimator)
        steps = [step for pipeline in before for step in pipeline.steps]
        in_turn = [(str(number), pipeline) for number, pipeline in enumerate(before)]
        self.before = before[0] if len(before) == 1 else Pipeline(in_turn) if before else None
        self.caller = caller
        if not isinstance(self.model, BaseDeepModel):
            raise TypeError(
                f"estimator must be one of skvade's, or a pipeline or search that ends in one, got "
                f"{self.name}; {caller} shows what those have learned."
            )
        check_is_fitted(self.model)
        self.model = snapshot(self.model)  # another thread may fit it anew
        self.columns = self.model._columns_in_use
        self.model._gives_numbers = True
        self.names_in = getattr(self.before or self.model, "feature_names_in_", None)
        self.kept, self.undone, self.feature_names = None, [], self.names_in
        if self.columns is None:
            self.kept, self.undone = _undoable(steps, self.model.cluster_centers_)
            if self.kept:
                self.feature_names = _names_after(self.kept)
        else:
            self.feature_names = self.columns.names

    @property
    def name(self) -> str:
        """The class of the model."""
        return type(self.model).__name__

    @property
    def means(self) -> np.ndarray:
        """Of the clusters, of shape (n_clusters, latent_dim)."""
        return self.model.means_

    @property
    def cluster_names(self) -> np.ndarray:
        """The classes of a classifier, and integers from 0 of a clusterer."""
        return getattr(self.model, "classes_", np.arange(len(self.means)))

    @property
    def has_styles(self) -> bool:
        """Whether the codes are styles, apart from the cluster."""
        return "cluster" in signature(self.model.inverse_transform).parameters

    @property
    def covariances(self) -> np.ndarray | None:
        """Of the clusters, (n_clusters, latent_dim, latent_dim); None if the model has none."""
        if not hasattr(self.model, "covariances_"):
            return None
        n_clusters, latent_dim = self.means.shape
        as_matrices = AS_MATRICES[self.model._shaped_by["covariance_type"]]
        matrices = as_matrices(self.model.covariances_, np.eye(latent_dim))
        return np.broadcast_to(matrices, (n_clusters, latent_dim, latent_dim))

    @property
    def centers(self) -> np.ndarray:
        """The decoded middle of each cluster."""
        centers = self.model.cluster_centers_ if self.columns is None else self.model._decoded
        return self._to_data(centers)

    def need(self, name: str, cure: str) -> None:
        """Check that the model has a fitted attribute or method."""
        if not hasattr(self.model, name):
            raise ValueError(
                f"estimator must have {name} for {self.caller}, got {self.name}; {cure}."
            )

    def row_options(self, image_shape: tuple[int, ...] | None, X: Any = None) -> dict[str, Any]:
        """What a display of rows is to know, beside the rows."""
        reference = None if image_shape else self._reference(X)
        return {
            "image_shape": image_shape,
            "feature_names": self.feature_names,
            "reference": reference,
        }

    def codes(self, X: Any) -> np.ndarray:
        """The codes of rows."""
        return np.asarray(self.model.transform(self._seen(X)))

    def labels(self, X: Any) -> np.ndarray:
        """The cluster of each row, by its name; -1 is noise."""
        return self.model.predict(self._seen(X))

    def noise(self, X: Any) -> np.ndarray:
        """Which rows are noise."""
        if hasattr(self.model, "_noise_from"):
            return self.labels(X) == NOISE
        return np.zeros(X.shape[0] if hasattr(X, "shape") else len(X), bool)

    def proba(self, X: Any) -> np.ndarray:
        """The model's own q(c|x) of rows, of whose differences `doubt_` hides the small ones."""
        return self.model._predictor.memberships(self.model._check_new(self._seen(X)))

    def decode(self, codes: np.ndarray, cluster: int | None = None) -> np.ndarray:
        """Expected rows: (..., latent_dim) to (..., n_features)."""
        given = {"cluster": cluster} if self.has_styles else {}
        flat = codes.reshape(-1, codes.shape[-1])
        rows = self._to_data(self.model.inverse_transform(flat, **given))
        return rows.reshape(*codes.shape[:-1], -1)

    def reconstruct(self, X: Any, labels: np.ndarray) -> np.ndarray:
        """Codes of rows, decoded; styles for the clusters that `labels` says."""
        codes = self.codes(X)
        if not self.has_styles:
            return self.decode(codes)
        rows = np.empty((len(codes), self.centers.shape[1]))
        for label in np.unique(labels):
            rows[labels == label] = self.decode(codes[labels == label], label)
        return rows

    def sample(self, n_samples: int, cluster: int | None, random_state: Any) -> np.ndarray:
        """New rows, of one cluster or of all."""
        rows, _ = self.model.sample(n_samples, cluster=cluster, random_state=random_state)
        return self._to_data(rows)

    def clusters(self, clusters: int | Sequence[int] | None) -> np.ndarray:
        """Checked places of clusters; None stands for all."""
        n_clusters = len(self.means)
        if clusters is None:
            return np.arange(n_clusters)
        chosen = np.atleast_1d(np.asarray(clusters, dtype=object))
        known = [isinstance(c, Integral) and 0 <= c < n_clusters for c in chosen]
        if not known or not all(known):
            raise ValueError(
                f"clusters must hold integers from 0 to {n_clusters - 1}, got {clusters!r}; of a "
                "classifier, pass places in classes_."
            )
        return chosen.astype(int)

    def _reference(self, X: Any) -> np.ndarray:
        """Rows that tell the usual mean and spread of each feature."""
        if X is not None:
            labels = np.zeros(np.shape(X)[0])
            return self.rows(choose_rows(X, labels, N_REFERENCE, random_state=0)[0])
        if hasattr(self.model, "sample"):
            return self.sample(N_REFERENCE, None, random_state=0)
        return self.centers

    def rows(self, X: Any) -> np.ndarray:
        """Rows as they are shown: in the columns to which what is decoded leads back.

        A category is shown by a column for each of its values.
        """
        if self.columns is not None:
            return self.columns.encode(self._seen(X))
        return as_rows(self.kept.transform(X) if self.kept else X)

    def _seen(self, X: Any) -> Any:
        return X if self.before is None else self.before.transform(X)

    def _to_data(self, rows: np.ndarray) -> np.ndarray:
        for undo in self.undone:
            rows = np.asarray(undo(rows))
        return rows


def _unwrapped(estimator: Any) -> tuple[Any, list[Pipeline]]:
    """What is at the end of pipelines and searches in one another, and what is before it."""
    before: list[Pipeline] = []
    while True:
        estimator = getattr(estimator, "best_estimator_", estimator)
        if not isinstance(estimator, Pipeline):
            return estimator, before
        before += [estimator[:-1]] if len(estimator) > 1 else []
        estimator = estimator[-1]


def _undoable(steps: list[Any], rows: np.ndarray) -> tuple[Pipeline | None, list[Any]]:
    """The steps of a pipeline that cannot be undone, and how the later ones are, the last first.

    A ColumnTransformer or a selection that loses columns cannot; an imputer has nothing to undo,
    unless it adds columns. A projection leads back to the plane on which it projects.
    """
    undone: list[Any] = []
    for number in range(len(steps), 0, -1):
        step = steps[number - 1][1]
        if step in (None, "passthrough") or _only_fills(step, rows):
            continue
        if _loses(step):
            return Pipeline(steps[:number]), undone
        try:
            before = np.asarray(step.inverse_transform(rows))
        except (AttributeError, LookupError, NotImplementedError, TypeError, ValueError):
            return Pipeline(steps[:number]), undone
        if before.ndim != 2 or before.dtype.kind not in "buif":
            return Pipeline(steps[:number]), undone
        undone.append(step.inverse_transform)
        rows = before
    return None, undone


def _only_fills(step: Any, rows: np.ndarray) -> bool:
    imputes = type(step).__module__.startswith("sklearn.impute")
    return imputes and getattr(step, "n_features_in_", None) == rows.shape[1]


def _loses(step: Any) -> bool:
    """Whether a step's inverse would make up what it has left out, or read what was decoded."""
    if type(step).__module__.startswith("sklearn.impute"):
        return True
    return hasattr(step, "get_support") and not np.all(step.get_support())


def _names_after(steps: Pipeline) -> Any:
    """Of the columns that steps make, without the names of transformers where these are clear."""
    try:
        names = [str(name) for name in steps.get_feature_names_out()]
    except (AttributeError, ValueError):
        return None
    short = [name.split("__", 1)[-1] for name in names]
    return short if len(set(short)) == len(short) else names


def make_rng(random_state: Any) -> np.random.RandomState:
    """A generator; None stands for fresh entropy, since numpy's global state is the caller's."""
    return np.random.RandomState() if random_state is None else check_random_state(random_state)


def choose_rows(X: Any, labels: np.ndarray, n_samples: int, random_state: Any) -> tuple[Any, Any]:
    """Rows that clusters take turns to give, and their labels, in the order of the labels."""
    order = make_rng(random_state).permutation(len(labels))
    turns = np.empty(len(labels), int)
    for label in np.unique(labels):
        members = order[labels[order] == label]
        turns[members] = np.arange(len(members))
    chosen = order[np.argsort(turns[order], kind="stable")][:n_samples]
    chosen = chosen[np.argsort(labels[chosen], kind="stable")]
    if hasattr(X, "iloc"):
        return X.iloc[chosen], labels[chosen]
    if container_of(X) == "pyarrow":
        return X.take(chosen), labels[chosen]
    if not hasattr(X, "columns"):
        X = X.tocsr() if issparse(X) else np.asarray(_with_texts(X))
    return X[chosen], labels[chosen]


def _with_texts(X: Any) -> Any:
    """Lists of rows with texts and numbers as they are, of which numpy makes texts only."""
    holds = isinstance(X, list | tuple) and any(isinstance(v, str) for row in X for v in row)
    return np.asarray(X, dtype=object) if holds else X


def as_rows(X: Any) -> np.ndarray:
    """A dense array of floats."""
    return np.asarray(X.toarray() if issparse(X) else X, dtype=float)
