"""M2Clustering: a category, and a style that is apart from it."""

from __future__ import annotations

from typing import Any

import numpy as np

from skvade.estimators.adversarial import AdversarialTraining
from skvade.estimators.base import BaseDeepModel
from skvade.estimators.density import DensityClustererMixin, DensityClusterParameters
from skvade.estimators.docstrings import inherit_docs
from skvade.estimators.facts import Facts
from skvade.estimators.generative import GenerativeMixin
from skvade.estimators.marginalization import MarginalizationParameters
from skvade.estimators.parameters import parameters
from skvade.estimators.predictor import of_one_fit
from skvade.estimators.recipe import Objectives
from skvade.nn.autoencoder import Networks
from skvade.nn.m2 import M2
from skvade.nn.mixtures import GaussianMixturePrior, make_mixture
from skvade.nn.style import CategoryAndStyle
from skvade.nn.summary import ModelShape
from skvade.objectives.base import EncodedObjective
from skvade.objectives.category import CategoryNegativeELBO, HeldCategoryELBO
from skvade.objectives.marginalization import Marginalization
from skvade.training.events import Running


@parameters
class StyleParameters(MarginalizationParameters):
    """Of the methods with a category and a style.

    Parameters
    ----------
    category_weight : float, default=1.0
        Weight of KL(q(c|x) || p(c)) in the loss. With 1 for both weights the loss is the bound.
        Lower it where assignments remain undecided.
    style_weight : float, default=1.0
        Weight of KL(q(z|x, c) || N(0, 1)). Lower it for sharper reconstructions, raise it for
        styles that are independent of the cluster.
    encoder, decoder : torch.nn.Module or None, default=None
        Your own networks, used as templates: each fit trains copies. An encoder maps
        (n_samples, n_features) to (n_samples, n_hidden); linear heads are added to it. With
        neighbours or labels it runs several times per step, in training mode. A decoder maps
        (n_samples, latent_dim + n_clusters), the style and the category, to
        (n_samples, n_features), the logits, means or log rates of the likelihood.
        `hidden_layer_sizes` and `activation` do not apply to a network of your own.

    Attributes
    ----------
    means_ : ndarray of shape (n_clusters, latent_dim)
        Cluster centres among the features that q(c|x) is read off, not among styles.
    """

    category_weight: float = 1.0
    style_weight: float = 1.0

    @property
    def _weights(self) -> dict[str, float]:
        return {"category_weight": self.category_weight, "latent_weight": self.style_weight}


class StyleModel(StyleParameters, AdversarialTraining, GenerativeMixin, BaseDeepModel):
    """What M2 is with and without labels: a model of category and style."""

    def _n_decoded(self, shape: ModelShape) -> int:
        return shape.latent_dim + shape.n_clusters

    def _make_model(self, networks: Networks, shape: ModelShape) -> CategoryAndStyle:
        return M2(*networks, head=self._make_head(shape))

    def _make_head(self, shape: ModelShape) -> GaussianMixturePrior:
        """Of q(c|x), among the codes."""
        return make_mixture("full", shape.n_clusters, shape.latent_dim, floor=1e-2)

    def _make_objectives(self, facts: Facts) -> Objectives:
        def hold(run: Running) -> EncodedObjective:
            held = HeldCategoryELBO(run.handover.need_partition(), **self._weights)
            return self._beside_labels(held, self._known(run, facts))

        def weighted(run: Running, marginalization: Marginalization) -> CategoryNegativeELBO:
            known = self._known(run, facts)
            labels = known.labels if known else None
            return CategoryNegativeELBO(marginalization, labels, **self._weights)

        def train(run: Running) -> EncodedObjective:
            objective = weighted(run, self._make_marginalization(facts))
            return self._beside_labels(objective, self._known(run, facts))

        def bound(run: Running) -> CategoryNegativeELBO:
            return weighted(run, self._make_evaluation())

        return Objectives(hold=hold, train=train, bound=bound)

    def transform(self, X: Any) -> np.ndarray:
        """The style of each row, E[z|x]: what is left of it beside the cluster.

        Parameters
        ----------
        X : {array-like, sparse matrix, sparse array} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, latent_dim)
            Standard normal over all rows, as far as the model fits.
        """
        return super().transform(X)

    @of_one_fit
    def inverse_transform(self, X: Any, cluster: int | None = None) -> np.ndarray:
        """Decode styles to expected rows, of one cluster or over all.

        Parameters
        ----------
        X : array-like of shape (n_samples, latent_dim)
            Styles, as `transform` returns them.
        cluster : int or None, default=None
            The cluster c of all rows, E[x|z, c]; None for the expectation over c, E[x|z].

        Returns
        -------
        ndarray of shape (n_samples, n_features)
        """
        codes = self._check_codes(X)
        if cluster is None:
            return self._given_back(self._decode(codes, lambda model, z: model.expect(z)))
        self._check_cluster(cluster)
        rows = self._decode(codes, lambda model, z: model.expect_given(z, cluster))
        return self._given_back(rows)


@inherit_docs
@parameters
class M2Clustering(DensityClustererMixin, StyleModel, DensityClusterParameters):
    """A category and a style: Kingma's M2 without labels.

    Rows are explained by

        c ~ Cat(pi),    z ~ N(0, 1),    x | z, c ~ p(x | f(z, c)),

    so that the style z says what is common to all clusters: the same z with another c draws the
    same style in another cluster. Inference is by q(c|x), read off deterministic features of the
    row, and q(z|x, c); the loss is

        -E log p(x|z, c) + w_c KL(q(c|x) || p(c)) + w_z KL(q(z|x, c) || N(0, 1)),

    with a relaxed draw of c, or the sum over all (`marginalization`). The features are the codes of
    an autoencoder, among which clusters are sought first, as in :class:`VaDEClustering`; then
    `transform` gives styles.

    See Also
    --------
    VaDEClustering : A latent space that holds the clusters too.
    M2Classifier : The same with some labels.

    References
    ----------
    Kingma, Mohamed, Rezende, Welling, "Semi-supervised learning with deep generative models",
    NeurIPS 2014, arXiv:1406.5298. Arias Figueroa and Rivera, "Is simple better? Revisiting simple
    generative models for unsupervised clustering", 2017.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from skvade import M2Clustering
    >>> X, _ = make_blobs(300, centers=3, random_state=0)
    >>> model = M2Clustering(3, hidden_layer_sizes=(64,), latent_dim=2, random_state=0).fit(X)
    >>> styles = model.transform(X[:5])
    >>> [model.inverse_transform(styles, cluster=c).shape for c in range(3)]
    [(5, 2), (5, 2), (5, 2)]
    """
