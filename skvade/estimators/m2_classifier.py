"""M2Classifier: Kingma's M2, a category and a style with labels for some rows."""

from __future__ import annotations

from skvade.estimators.docstrings import inherit_docs
from skvade.estimators.m2 import StyleModel
from skvade.estimators.parameters import parameters
from skvade.estimators.semi_supervised import LabelTerm, SemiSupervisedClassifier


@inherit_docs
@parameters
class M2Classifier(LabelTerm, SemiSupervisedClassifier, StyleModel):
    """A category and a style with labels for some rows: Kingma's M2.

    The model is that of :class:`M2Clustering`. A labelled row is explained by its class,

        E log p(x|z, y) + log p(y) - KL(q(z|x, y) || N(0, 1)),

    any other by the expectation of this over q(c|x), with the entropy of q(c|x); and the loss has
    the further term label_weight mean_labelled -log q(y|x). Kingma's M1+M2 is M2 on the codes of an
    autoencoder: ``make_pipeline(VaDEClustering(n_clusters=1), M2Classifier())``.

    See Also
    --------
    M2Clustering : The same without labels.
    VaDEClassifier : A latent space that holds the classes too.

    References
    ----------
    Kingma, Mohamed, Rezende, Welling, "Semi-supervised learning with deep generative models",
    NeurIPS 2014, arXiv:1406.5298.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from skvade import M2Classifier
    >>> X, y = make_blobs(300, centers=3, random_state=0)
    >>> y[30:] = -1
    >>> model = M2Classifier(hidden_layer_sizes=(64,), latent_dim=2, random_state=0).fit(X, y)
    >>> model.predict_proba(X[:2]).shape
    (2, 3)
    """
