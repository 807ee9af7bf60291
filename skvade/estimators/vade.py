"""VaDEClustering: variational deep embedding."""

from __future__ import annotations

from functools import partial

from skvade.estimators.adversarial import AdversarialTraining
from skvade.estimators.base import BaseDeepModel
from skvade.estimators.density import DensityClustererMixin, DensityClusterParameters
from skvade.estimators.docstrings import inherit_docs
from skvade.estimators.facts import Facts
from skvade.estimators.generative import GenerativeMixin
from skvade.estimators.parameters import MixtureParameters, parameters
from skvade.estimators.recipe import Objectives
from skvade.nn.autoencoder import Networks
from skvade.nn.mixtures import make_mixture
from skvade.nn.summary import ModelShape
from skvade.nn.vade import MixtureVAE
from skvade.objectives.base import EncodedObjective
from skvade.objectives.vade import HeldNegativeELBO, NegativeELBO
from skvade.training.events import Running
from skvade.training.schedules import fine_tuning

brisk = partial(fine_tuning, most=0.5)


class MixtureModel(MixtureParameters, AdversarialTraining, GenerativeMixin, BaseDeepModel):
    """What VaDE is with and without labels."""

    def _make_model(self, networks: Networks, shape: ModelShape) -> MixtureVAE:
        size = (shape.n_clusters, shape.latent_dim, self.reg_covar)
        return MixtureVAE(*networks, mixture=make_mixture(self.covariance_type, *size))

    def _make_objectives(self, facts: Facts) -> Objectives:
        def hold(run: Running) -> EncodedObjective:
            held = HeldNegativeELBO(run.handover.need_partition())
            return self._beside_labels(held, self._known(run, facts))

        def bound(run: Running) -> NegativeELBO:
            known = self._known(run, facts)
            return HeldNegativeELBO(known.labels) if known else NegativeELBO()

        def train(run: Running) -> EncodedObjective:
            return self._beside_labels(bound(run), self._known(run, facts))

        if facts.labels is None and self.neighbor_weight:
            # The neighbours have settled most: a fifth of the steps, at twice the rate, do.
            return Objectives(hold=hold, train=train, bound=bound, rate=brisk, n_steps=500)
        return Objectives(hold=hold, train=train, bound=bound)


@inherit_docs
@parameters
class VaDEClustering(DensityClustererMixin, MixtureModel, DensityClusterParameters):
    """Variational deep embedding: a variational autoencoder with a Gaussian-mixture prior.

    One model clusters, embeds, scores and generates. Rows are explained by

        c ~ Cat(pi),    z | c ~ N(mu_c, Sigma_c),    x | z ~ p(x | f(z)),

    with a neural decoder f, and inference is by q(z|x) = N(m(x), diag s2(x)) and the closed form
    q(c|x) = softmax_c e_c(x), e_c(x) = log pi_c + E_q(z|x)[log N(z; mu_c, Sigma_c)], which is the
    optimum of the evidence lower bound. Training has five phases: an autoencoder; the same with its
    codes' neighbours drawn together and strangers kept apart; a mixture on the codes; the bound
    with clusters held at that mixture's (or learned like labels, where they were merged along the
    neighbours to what no mixture has); the bound. One M step of EM for pi, mu and Sigma ends it.

    See Also
    --------
    sklearn.mixture.GaussianMixture : A mixture in the data space itself.
    sklearn.cluster.KMeans : Clusters by distance to centres.

    Notes
    -----
    Gaussian data are shifted to zero means and divided by one common scale internally, which every
    output undoes; scaling features relative to one another stays your choice.

    References
    ----------
    Jiang, Zheng, Tan, Tang, Zhou, "Variational deep embedding: an unsupervised and generative
    approach to clustering", IJCAI 2017, arXiv:1611.05148.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from skvade import VaDEClustering
    >>> X, _ = make_blobs(300, centers=3, random_state=0)
    >>> model = VaDEClustering(3, hidden_layer_sizes=(64,), latent_dim=2, random_state=0).fit(X)
    >>> model.cluster_sizes_.sum()
    np.int64(300)
    >>> model.predict_proba(X[:2]).shape
    (2, 3)
    >>> new_rows, clusters = model.sample(5, cluster=0, random_state=0)
    >>> new_rows.shape
    (5, 2)
    """
