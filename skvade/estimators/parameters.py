"""The constructor parameters that all methods have, with their defaults, documentation and bounds.

They are fields of dataclasses, so that a method declares only what it adds or changes; the
constructors that these write do nothing but store.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

parameters = dataclass(eq=False, repr=False, kw_only=True)  # scikit-learn brings its own repr


@parameters
class DeepParameters:
    """Of every method.

    Parameters
    ----------
    latent_dim : int, default=10
        Dimensions L of the latent space. Raise it when reconstructions are poor, lower it when
        there are few rows.
    hidden_layer_sizes : sequence of int, default=(500, 500, 2000)
        Widths of the encoder's hidden layers; the decoder mirrors them. Smaller networks are
        faster, and on small data less accurate in our measurements.
    activation : {"relu", "leaky_relu", "elu", "gelu", "silu", "tanh"}, default="relu"
        Of the hidden layers. Seldom worth changing; "relu" is the fastest, the others are smooth
        or keep negative values.
    likelihood : {"auto", "bernoulli", "gaussian", "poisson", "negative_binomial"}, default="auto"
        Family of p(x|z). "bernoulli" is for data in [0, 1], such as pixels; "gaussian" for real
        numbers, with one learned noise variance; "poisson" and "negative_binomial" for counts,
        with each row's sum as offset. "auto" is "bernoulli" if X lies in [0, 1] and "gaussian"
        otherwise; set it where a column that happens to lie in [0, 1] must not decide.
    encoder, decoder : torch.nn.Module or None, default=None
        Networks of your own, used as templates: each fit trains copies. An encoder takes
        (n_samples, n_features) to (n_samples, n_hidden), and linear heads for m(x) and log s2(x)
        are put on it; with neighbours or labels it is run several times a step, in training mode.
        A decoder takes (n_samples, latent_dim) to (n_samples, n_features), the logits, means or
        log rates of the likelihood. `hidden_layer_sizes` and `activation` then do not apply to it.
        For images begin with :class:`torch.nn.Unflatten`.
    n_neighbors : int, default=15
        Nearest neighbours of each row that count as its neighbours: near in the codes and in 40
        principal components, both together. Exact up to 100,000 rows; beyond, they are sought in
        the cells of k-means around each row, in time that grows with the power 1.5 of the rows,
        and nearly all are found. Lower it where clusters have few rows, raise it where one falls
        apart.
    neighbor_weight : float, default=200.0
        Weight of the neighbour embedding, in nats a pair, beside the reconstruction and later the
        last phase's objective. Each neighbour is moved first, by .3 of its distance, to where the
        encoder keeps it least, which makes the encoder smooth; by less where neighbours differ
        mostly beside the principal components. 0 turns all of it off, for the method as in its
        paper, or where distances between rows mean little. Lower it where reconstructions matter
        more than clusters.
    init : {"gmm", "k-means", "random"}, array-like or clusterer, default="gmm"
        The first partition of the codes. "gmm" is the best of 24 Gaussian mixtures, each on at
        most 6,000 codes of its own, by used clusters, then by the mutual information of the
        assignment and the share of neighbours that it keeps together, without labels.
        An array of shape (n_samples,) holds labels from 0; one of shape (n_clusters, latent_dim)
        holds means among the codes of the autoencoder, before they are rescaled, and so goes with
        a trained `encoder` and ``pretrain_iter=0``; any object with scikit-learn's `fit_predict`
        is run on the codes. Change it where you know a partition, or clusters of another kind.
    n_init : int, default=1
        Whole fits; the one with most used clusters and, among these, the highest mutual
        information of the assignment is kept. Raise it where seeds disagree; it takes as many
        times as long.
    pretrain_iter : "auto" or int, default="auto"
        Passes over the data of the autoencoder phase; the neighbour phase has half as many steps.
        "auto" is 2,500 gradient steps at 70,000 rows and grows with n_samples ** 0.25, from 4,000
        rows down with the square root; and 1,400 for the neighbour phase, which grows with the
        square root. Raise it when the reconstruction still falls at its end, lower it for a quick
        look.
    max_iter : "auto" or int, default="auto"
        Passes over the data of the last phase, at most. "auto" is 2,500 gradient steps at 70,000
        rows and grows with the square root of n_samples. Where a method holds its clusters first,
        a fifth of this is spent so before. Raise it when `converged_` is False and the loss
        still falls.
    batch_size : "auto" or int, default="auto"
        Rows per gradient step; "auto" is 128, 256 from 5,000 rows on and 512 from 20,000. With
        neighbours, half of them are neighbours, of which only the codes count. The number of steps
        of "auto" budgets does not depend on it, so that larger batches take longer. Lower it where
        memory is short.
    learning_rate : float, default=2e-3
        Of Adam, at its highest, in the phases of the autoencoder; at most 1. The last phases have
        half of it, and below 5,000 rows less, down to a twentieth from 500 rows on. Lower it when
        the loss had to be rescued.
    learning_rate_schedule : {"cosine", "step", "constant"}, default="cosine"
        Course of the learning rate over a phase, after a short linear rise: down to zero along
        half a cosine, or to a tenth after each third, or constant. "constant" is for fits that
        warm starts go on with.
    tol : float, default=1e-3
        The last phase ends when at most this share of labels changes between checks. With
        `early_stopping`, the relative improvement of the held-out bound that counts. Raise it to
        end sooner.
    n_iter_no_change : int, default=5
        Checks in a row that must meet `tol`. Labels are checked after a pass over the data, at
        most 25 times in a full phase; the held-out bound after every pass. Raise it where a phase
        ends too early.
    early_stopping : bool, default=False
        End the last phase when the bound on held-out rows stops improving, and return to its
        best state. Those rows are not trained on. For few rows and large networks, which learn
        rows by heart.
    validation_fraction : float, default=0.1
        Share of rows held out for `early_stopping`. Raise it where so few rows are held out that
        their bound is noise.
    warm_start : bool, default=False
        Go on with the last phase from the previous fit instead of starting anew; parameters that
        shape the model must be the same. For more passes, or for new rows of the same kind.
    device : str, default="auto"
        "cpu", "cuda", "cuda:<index>" or "mps"; "auto" is the fastest that is present. Set it to
        leave a GPU to others, or to choose one.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        Of the networks in training. "auto" is bfloat16 where the hardware multiplies it
        natively. Densities are always in float32, and predictions never in less. "float32" where
        machines of different kinds must agree as far as they can.
    random_state : int, RandomState instance or None, default=None
        Governs everything random; an int makes fits repeatable on one machine. The global
        generators of numpy and torch are neither used nor changed. Try several, and trust what
        they agree on.
    verbose : bool or int, default=False
        Show a bar for each phase, with loss and rate; in a log, a line every half minute.
    """

    latent_dim: int = 10
    hidden_layer_sizes: Sequence[int] = (500, 500, 2000)
    activation: str = "relu"
    likelihood: str = "auto"
    encoder: Any = None
    decoder: Any = None
    n_neighbors: int = 15
    neighbor_weight: float = 200.0
    init: Any = "gmm"
    n_init: int = 1
    pretrain_iter: int | str = "auto"
    max_iter: int | str = "auto"
    batch_size: int | str = "auto"
    learning_rate: float = 2e-3
    learning_rate_schedule: str = "cosine"
    tol: float = 1e-3
    n_iter_no_change: int = 5
    early_stopping: bool = False
    validation_fraction: float = 0.1
    warm_start: bool = False
    device: str = "auto"
    precision: str = "auto"
    random_state: Any = None
    verbose: bool | int = False

    _shaping = ("latent_dim", "activation")  # a warm start needs them as they were


@dataclass(eq=False, repr=False)
class ClusterParameters(DeepParameters):
    """Of every clusterer.

    Parameters
    ----------
    n_clusters : int, default=4
        Number of clusters K; the default means nothing, set it. Some may end up empty,
        with a warning.
    """

    n_clusters: int = 4
    _: KW_ONLY

    _shaping = ("n_clusters",)


@parameters
class MixtureParameters:
    """Of every method with a Gaussian mixture in latent space.

    Parameters
    ----------
    covariance_type : {"full", "tied", "diag", "spherical"}, default="full"
        Shape of the components in latent space, as in
        :class:`~sklearn.mixture.GaussianMixture`. VaDE's paper has "diag"; simpler shapes are for
        few rows and for many latent dimensions.
    reg_covar : float, default=1e-2
        Least variance of a component in each latent dimension given those after it, relative to
        the pooled variance within clusters; between 0 (excluded) and 1. Raise it when clusters
        shrink onto few rows.

    Attributes
    ----------
    covariances_ : ndarray
        Component covariances in latent space, in the shape that
        :class:`~sklearn.mixture.GaussianMixture` uses for the `covariance_type`.
    """

    covariance_type: str = "full"
    reg_covar: float = 1e-2

    _shaping = ("covariance_type", "reg_covar")
