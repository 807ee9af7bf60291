"""VaDEClassifier: VaDE with labels for some rows."""

from __future__ import annotations

from skvade.estimators.docstrings import inherit_docs
from skvade.estimators.parameters import parameters
from skvade.estimators.semi_supervised import LabelTerm, SemiSupervisedClassifier
from skvade.estimators.vade import MixtureModel


@inherit_docs
@parameters
class VaDEClassifier(LabelTerm, SemiSupervisedClassifier, MixtureModel):
    """Variational deep embedding with labels for some rows.

    The model is that of :class:`VaDEClustering`, with a cluster for every class. Clusters are first
    sought without labels, and then named so that the known labels agree best. In the last phase
    q(c|x) is held at the label where there is one, and the loss has the further term

        label_weight mean_labelled -log q(y|x).

    Without any label it is :class:`VaDEClustering` up to the clusters' names; give `n_classes`
    then.

    See Also
    --------
    VaDEClustering : The same without labels.
    sklearn.semi_supervised.LabelSpreading : Labels spread along a graph of the rows.

    References
    ----------
    Jiang, Zheng, Tan, Tang, Zhou, "Variational deep embedding: an unsupervised and generative
    approach to clustering", IJCAI 2017, arXiv:1611.05148.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from skvade import VaDEClassifier
    >>> X, y = make_blobs(300, centers=3, random_state=0)
    >>> y[30:] = -1
    >>> model = VaDEClassifier(hidden_layer_sizes=(64,), latent_dim=2, random_state=0).fit(X, y)
    >>> model.classes_
    array([0, 1, 2])
    """
