"""DECClustering and IDECClustering: soft assignments drawn towards sharper ones."""

from __future__ import annotations

from skvade.estimators.base import BaseDeepModel
from skvade.estimators.clusterer import ClustererMixin
from skvade.estimators.docstrings import inherit_docs
from skvade.estimators.facts import Facts
from skvade.estimators.parameters import ClusterParameters, parameters
from skvade.estimators.recipe import Objectives
from skvade.nn.autoencoder import Networks
from skvade.nn.headed import HeadedAutoencoder
from skvade.nn.heads import StudentT
from skvade.nn.summary import ModelShape
from skvade.objectives.dec import TargetAssignment
from skvade.objectives.reconstruction import Reconstruction
from skvade.objectives.together import Together
from skvade.training.events import Running


@parameters
class TargetParameters:
    """Of the methods with DEC's target.

    Parameters
    ----------
    alpha : float, default=1.0
        Degrees of freedom of Student's t in q(c|x). Seldom worth changing; the papers use 1.
    update_interval : int, default=140
        Gradient steps between updates of the target, each of which takes a pass over the data.
        Lower it on small data, where the whole phase has few steps.
    """

    alpha: float = 1.0
    update_interval: int = 140

    _shaping = ("alpha",)


class TowardsTarget(TargetParameters, ClustererMixin, BaseDeepModel, ClusterParameters):
    """What DEC and IDEC share: the model, and the loss that makes assignments sharper."""

    def _make_model(self, networks: Networks, shape: ModelShape) -> HeadedAutoencoder:
        head = StudentT(shape.n_clusters, shape.latent_dim, self.alpha)
        return HeadedAutoencoder(*networks, head=head)

    def _sharpened(self, run: Running, facts: Facts) -> tuple[float, TargetAssignment]:
        """DEC's loss and its weight, for which a likelihood is a sum over features."""
        weight = self.clustering_weight * facts.shape.summary.n_features
        total = run.runtime.peers.total
        return weight, TargetAssignment(run.rows, self.update_interval, total)


@inherit_docs
@parameters
class DECClustering(TowardsTarget):
    """Deep embedded clustering: an autoencoder's codes, drawn towards the clusters they are near.

    Codes z = m(x) belong to clusters by Student's t around centres mu_c,

        q(c|x) = (1 + |z - mu_c|^2 / alpha) ^ -(alpha + 1) / 2, normalised over c,

    and encoder and centres are trained to lower KL(P || Q) for a target P that is sharper and more
    even, p_c ~ q_c^2 / sum_i q_ic, and is found anew from all rows at an interval. The decoder
    serves the phases before; afterwards the codes move and it does not follow, so
    `inverse_transform` and `cluster_centers_` are poor, and :class:`IDECClustering` is the better
    choice where they matter. The paper has no neighbours: ``neighbor_weight=0``.

    Parameters
    ----------
    clustering_weight : float, default=1.0
        Weight of D KL(P || Q), with D features, relative to the neighbour terms. Without those it
        has no effect. Raise it for more decided assignments.

    See Also
    --------
    IDECClustering : The same beside the reconstruction.
    VaDEClustering : Clusters with a density, which generate rows.

    References
    ----------
    Xie, Girshick, Farhadi, "Unsupervised deep embedding for clustering analysis", ICML 2016,
    arXiv:1511.06335.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from skvade import DECClustering
    >>> X, _ = make_blobs(300, centers=3, random_state=0)
    >>> model = DECClustering(3, hidden_layer_sizes=(64,), latent_dim=2, random_state=0).fit(X)
    >>> model.predict_proba(X[:2]).shape
    (2, 3)
    """

    clustering_weight: float = 1.0

    def _make_objectives(self, facts: Facts) -> Objectives:
        return Objectives(train=lambda run: Together(self._sharpened(run, facts)))


@inherit_docs
@parameters
class IDECClustering(TowardsTarget):
    """Improved deep embedded clustering: DEC's loss beside the reconstruction.

    The loss of a row is

        -log p(x | f(z)) + gamma D KL(p || q),    z = m(x),

    with DEC's q and p (:class:`DECClustering`), D features and gamma = `clustering_weight`: that
    of the authors' code, whose squared errors are averaged over features. Since the decoder is
    trained with the codes, they keep what is needed to draw a row.

    Parameters
    ----------
    clustering_weight : float, default=0.1
        Weight gamma of the clustering loss. Raise it for more decided assignments, lower it for
        better reconstructions.

    See Also
    --------
    DECClustering : The clustering loss alone.
    DCNClustering : The same idea with the centroids of k-means.

    References
    ----------
    Guo, Gao, Liu, Yin, "Improved deep embedded clustering with local structure preservation",
    IJCAI 2017.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from skvade import IDECClustering
    >>> X, _ = make_blobs(300, centers=3, random_state=0)
    >>> model = IDECClustering(3, hidden_layer_sizes=(64,), latent_dim=2, random_state=0).fit(X)
    >>> model.cluster_centers_.shape
    (3, 2)
    """

    clustering_weight: float = 0.1

    def _make_objectives(self, facts: Facts) -> Objectives:
        return Objectives(train=lambda run: Together(Reconstruction(), self._sharpened(run, facts)))
