"""DEPICTClustering: a softmax layer that decides of noisy rows as of clean ones, and evenly."""

from __future__ import annotations

from skvade.estimators.base import BaseDeepModel
from skvade.estimators.clusterer import ClustererMixin
from skvade.estimators.docstrings import inherit_docs
from skvade.estimators.facts import Facts
from skvade.estimators.parameters import ClusterParameters, parameters
from skvade.estimators.recipe import Objectives
from skvade.nn.autoencoder import Networks
from skvade.nn.headed import HeadedAutoencoder
from skvade.nn.heads import Linear
from skvade.nn.summary import ModelShape
from skvade.objectives.base import EncodedObjective
from skvade.objectives.dec import TargetAssignment, balanced
from skvade.objectives.denoising import Denoised
from skvade.objectives.together import Together
from skvade.training.events import Running


@inherit_docs
@parameters
class DEPICTClustering(ClustererMixin, BaseDeepModel, ClusterParameters):
    """Deep embedded regularized clustering: noisy rows are to be decided as clean ones are.

    Codes z = m(x) belong to clusters by a softmax layer, q(c|x) ~ exp(theta_c' z + b_c). Each row
    passes the encoder clean and noisy, x~, with values dropped from the input and from every hidden
    layer; the loss is

        -log p(x | f(x~)) + sum_l D / (2 n_l) |h_l(x) - g_l(x~)|^2 + gamma D KL(p || q(c|x~)),

    with the decoder's layer g_l of the same size n_l as the encoder's layer h_l, D features,
    gamma = `clustering_weight`, and a target p from the clean pass of all rows, found anew at an
    interval, that makes clusters more even and no sharper, p_c ~ q(c|x) / (sum_i q(c|x_i))^(1/2).
    Networks of your own have no layers that are known here: with them noise is in the input alone,
    and rows alone are reconstructed. The paper's autoencoder is a denoising one from the beginning,
    and it has no neighbours: ``neighbor_weight=0``.

    Parameters
    ----------
    clustering_weight : float, default=50.0
        Weight gamma of the clustering loss. The paper's proportion is about .5, by which the
        reconstruction of layers tears clusters here: on small networks layers have any scale.
        Raise it for assignments that depend less on single features, lower it for better
        reconstructions.
    dropout : float, default=0.1
        Probability with which a value is dropped on the noisy pass. Raise it where many features
        say the same, set it to 0 to have no noise.
    update_interval : int, default=140
        Gradient steps between updates of the target, each of which takes a pass over the data; an
        epoch, where that is fewer.

    See Also
    --------
    DECClustering : A sharper target, and no noise.
    VaDEClustering : Clusters with a density, which generate rows.

    References
    ----------
    Dizaji, Herandi, Deng, Cai, Huang, "Deep clustering via joint convolutional autoencoder
    embedding and relative entropy minimization", ICCV 2017, arXiv:1704.06327.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from skvade import DEPICTClustering
    >>> X, _ = make_blobs(300, centers=3, random_state=0)
    >>> model = DEPICTClustering(3, hidden_layer_sizes=(64,), latent_dim=2, random_state=0).fit(X)
    >>> model.predict_proba(X[:2]).shape
    (2, 3)
    """

    clustering_weight: float = 50.0
    dropout: float = 0.1
    update_interval: int = 140

    def _make_model(self, networks: Networks, shape: ModelShape) -> HeadedAutoencoder:
        return HeadedAutoencoder(*networks, head=Linear(shape.n_clusters, shape.latent_dim))

    def _make_objectives(self, facts: Facts) -> Objectives:
        weight = self.clustering_weight * facts.shape.summary.n_features

        def train(run: Running) -> EncodedObjective:
            interval = min(self.update_interval, -(-facts.n_rows // self._rows_a_step(facts)))
            target = TargetAssignment(run.rows, interval, run.runtime.peers.total, balanced)
            return Denoised(Together((weight, target)), self.dropout)

        return Objectives(train=train)
