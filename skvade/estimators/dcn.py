"""DCNClustering: an autoencoder whose codes stay near the centroids of k-means."""

from __future__ import annotations

from skvade.estimators.base import BaseDeepModel
from skvade.estimators.clusterer import ClustererMixin
from skvade.estimators.docstrings import inherit_docs
from skvade.estimators.facts import Facts
from skvade.estimators.parameters import ClusterParameters, parameters
from skvade.estimators.recipe import Objectives
from skvade.nn.autoencoder import Networks
from skvade.nn.headed import HeadedAutoencoder
from skvade.nn.heads import Centroids
from skvade.nn.summary import ModelShape
from skvade.objectives.base import EncodedObjective
from skvade.objectives.dcn import CentroidDistance
from skvade.objectives.reconstruction import Reconstruction
from skvade.objectives.together import Together
from skvade.training.events import Running


@inherit_docs
@parameters
class DCNClustering(ClustererMixin, BaseDeepModel, ClusterParameters):
    """Deep clustering network: an autoencoder whose codes are drawn to the centroids of k-means.

    The loss of a row is

        -log p(x | f(z)) + lambda / 2 |z - M_c|^2,    z = m(x),

    with the nearest centroid M_c. Centroids are not trained but follow the codes, `n_c += 1`,
    `M_c += (z - M_c) / n_c`. Labels are those of the nearest centroid; q(c|x) is
    softmax_c(-1/2 |z - M_c|^2), the spherical Gaussians with the unit variance that the clusters
    have when this phase begins. The paper has no neighbours: ``neighbor_weight=0``.

    Parameters
    ----------
    clustering_weight : float, default=1.0
        Weight lambda of the distance term. Raise it for tighter clusters, lower it
        for better reconstructions.

    See Also
    --------
    IDECClustering : The same idea with soft assignments.
    sklearn.cluster.KMeans : The same without an encoder.

    References
    ----------
    Yang, Fu, Sidiropoulos, Hong, "Towards k-means-friendly spaces: simultaneous deep learning and
    clustering", ICML 2017, arXiv:1610.04794.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from skvade import DCNClustering
    >>> X, _ = make_blobs(300, centers=3, random_state=0)
    >>> model = DCNClustering(3, hidden_layer_sizes=(64,), latent_dim=2, random_state=0).fit(X)
    >>> model.means_.shape
    (3, 2)
    """

    clustering_weight: float = 1.0

    def _make_model(self, networks: Networks, shape: ModelShape) -> HeadedAutoencoder:
        return HeadedAutoencoder(*networks, head=Centroids(shape.n_clusters, shape.latent_dim))

    def _make_objectives(self, facts: Facts) -> Objectives:
        def train(run: Running) -> EncodedObjective:
            distance = CentroidDistance(run.runtime.peers.beside)
            return Together(Reconstruction(), (self.clustering_weight, distance))

        return Objectives(train=train)
