"""GMVAEClustering: VaDE's generative story with a categorical posterior of its own."""

from __future__ import annotations

from skvade.estimators.adversarial import AdversarialTraining
from skvade.estimators.base import BaseDeepModel
from skvade.estimators.density import DensityClustererMixin, DensityClusterParameters
from skvade.estimators.docstrings import inherit_docs
from skvade.estimators.facts import Facts
from skvade.estimators.marginalization import MarginalizationParameters
from skvade.estimators.parameters import MixtureParameters, parameters
from skvade.estimators.recipe import Objectives
from skvade.nn.autoencoder import Networks
from skvade.nn.gmvae import GMVAE
from skvade.nn.mixtures import make_mixture
from skvade.nn.summary import ModelShape
from skvade.objectives.category import CategoryNegativeELBO, HeldCategoryELBO


@inherit_docs
@parameters
class GMVAEClustering(
    MarginalizationParameters,
    MixtureParameters,
    AdversarialTraining,
    DensityClustererMixin,
    BaseDeepModel,
    DensityClusterParameters,
):
    """Gaussian-mixture variational autoencoder: VaDE's model with q(c|x) learned by itself.

    Rows are explained as by :class:`VaDEClustering`,

        c ~ Cat(pi),    z | c ~ N(mu_c, Sigma_c),    x | z ~ p(x | f(z)),

    but inference is by q(c|x) q(z|x, c), a categorical head beside a Gaussian for every category,
    instead of one Gaussian and the c that is best for it. The bound

        E_q(c|x)[ E_q(z|x,c) log p(x|z) + log pi_c - KL(q(z|x, c) || p(z|c)) ] + H[q(c|x)]

    needs a decoder's pass for every category, or one at a relaxed draw (`marginalization`). It can
    be tighter than VaDE's, whose q(z|x) does not know c; on our data it clusters no better.

    See Also
    --------
    VaDEClustering : The same story with q(c|x) in closed form.
    M2Clustering : A style that is apart from the category.

    References
    ----------
    Dilokthanakul et al., "Deep unsupervised clustering with Gaussian mixture variational
    autoencoders", 2016, arXiv:1611.02648, in the form of R. Shu's note "Gaussian mixture VAE:
    lessons in variational inference, generative models, and deep nets", 2016.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from skvade import GMVAEClustering
    >>> X, _ = make_blobs(300, centers=3, random_state=0)
    >>> model = GMVAEClustering(3, hidden_layer_sizes=(64,), latent_dim=2, random_state=0).fit(X)
    >>> model.covariances_.shape
    (3, 2, 2)
    """

    def _make_model(self, networks: Networks, shape: ModelShape) -> GMVAE:
        size = (shape.n_clusters, shape.latent_dim, self.reg_covar)
        head, mixture = (make_mixture(self.covariance_type, *size) for _ in range(2))
        return GMVAE(*networks, head=head, mixture=mixture)

    def _make_objectives(self, facts: Facts) -> Objectives:
        return Objectives(
            hold=lambda run: HeldCategoryELBO(run.handover.need_partition()),
            train=lambda run: CategoryNegativeELBO(self._make_marginalization(facts)),
            bound=lambda run: CategoryNegativeELBO(self._make_evaluation()),
        )
