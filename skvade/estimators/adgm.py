"""ADGMClassifier: auxiliary deep generative models, with and without skip connections."""

from __future__ import annotations

from skvade.estimators.docstrings import inherit_docs
from skvade.estimators.m2 import StyleModel
from skvade.estimators.parameters import parameters
from skvade.estimators.semi_supervised import LabelTerm, SemiSupervisedClassifier
from skvade.nn.adgm import ADGM
from skvade.nn.autoencoder import Networks
from skvade.nn.style import CategoryAndStyle
from skvade.nn.summary import ModelShape


@inherit_docs
@parameters
class ADGMClassifier(LabelTerm, SemiSupervisedClassifier, StyleModel):
    """A category and a style, inferred by way of an auxiliary variable: ADGM and SDGM.

    Rows are explained as by :class:`M2Classifier`, c ~ Cat(pi), z ~ N(0, 1), x | z, c, and a
    further variable a makes their inference more flexible,

        q(a|x) q(c|a, x) q(z|a, x, c),    a | x, z, c ~ N(C z + d_c + B m(x), v_c s2(x)),

    since q(z|x, c), with a integrated out, is no single Gaussian. With `skip`, rows are generated
    by way of a as well, a | z, c ~ N(C z + d_c, v_c) and x | a, z, c. A labelled row is explained
    by its class,

        E log p(x|z, y) + log p(y) + E[log p(a|x, z, y) - log q(a|x)] - KL(q(z|a, x, y) || N(0, 1)),

    any other by the expectation of this over q(c|a, x), with its entropy; and the loss has the
    further term label_weight mean_labelled -log q(y|a, x). Here a is a draw of the code, among
    which clusters are sought first, and its mean serves in `predict` and `transform`; p(a|.) is
    linear in z, where the paper has a perceptron, so that its expectation over z is exact.

    Parameters
    ----------
    skip : bool, default=False
        Whether rows are generated from a as well: False is the paper's ADGM, True its SDGM.
    style_weight : float, default=1.0
        Weight of the divergences of z and a. Lower it for sharper reconstructions, raise it for
        styles that are independent of the class.
    encoder, decoder : torch.nn.Module or None, default=None
        Your own networks, used as templates: each fit trains copies. An encoder maps
        (n_samples, n_features) to (n_samples, n_hidden); linear heads are added to it. With
        neighbours or labels it runs several times per step, in training mode. A decoder maps
        (n_samples, latent_dim + n_classes), the style and the category, or with `skip`
        (n_samples, 2 latent_dim + n_classes), the auxiliary variable before them, to
        (n_samples, n_features), the logits, means or log rates of the likelihood.
        `hidden_layer_sizes` and `activation` do not apply to a network of your own.

    See Also
    --------
    M2Classifier : The same without the auxiliary variable.
    VaDEClassifier : A latent space that holds the classes too.

    References
    ----------
    Maaloe, Sonderby, Sonderby, Winther, "Auxiliary deep generative models", ICML 2016,
    arXiv:1602.05473.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from skvade import ADGMClassifier
    >>> X, y = make_blobs(300, centers=3, random_state=0)
    >>> y[30:] = -1
    >>> model = ADGMClassifier(hidden_layer_sizes=(64,), latent_dim=2, random_state=0).fit(X, y)
    >>> model.predict_proba(X[:2]).shape
    (2, 3)
    >>> model.sample(2, cluster=0, random_state=0)[0].shape
    (2, 2)
    """

    skip: bool = False

    _shaping = ("skip",)

    def _n_decoded(self, shape: ModelShape) -> int:
        return super()._n_decoded(shape) + self.skip * shape.latent_dim

    def _make_model(self, networks: Networks, shape: ModelShape) -> CategoryAndStyle:
        return ADGM(*networks, head=self._make_head(shape), skip=self.skip)
