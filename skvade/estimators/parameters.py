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
    latent_dim : "auto" or int, default="auto"
        Number of dimensions L of the latent space. "auto" is 10, or 20 for small tables (fewer than
        1,000 rows, or 50,000 entries), and at most the number of directions in which the data vary;
        `latent_dim_` says which. The paper has 10. Raise it when reconstructions are poor, lower it
        when there are few rows.
    hidden_layer_sizes : "auto" or sequence of int, default="auto"
        Widths of the encoder's hidden layers; the decoder mirrors them. "auto" is (256, 256, 256),
        or (256, 256) for small tables; `hidden_layer_sizes_` says which. The paper's is
        (500, 500, 2000): a little more accurate on large sets of images, for three to five times
        the time. With ``()`` the model is linear: probabilistic principal components with a mixture
        prior.
    activation : {"relu", "leaky_relu", "elu", "gelu", "silu", "tanh"}, default="relu"
        Activation function of the hidden layers. Seldom worth changing; "relu" is the fastest, the
        others are smooth or keep negative values.
    linear_path : bool, default=True
        Whether encoder and decoder have a linear path beside their hidden layers, by which they
        start at the principal components of the data and their reconstruction. All of it is
        trained. Networks of your own have none, and neither has the other network beside them. Turn
        it off to get the method as in its paper.
    likelihood : str or dict, default="auto"
        Family of p(x|z): "auto", "bernoulli", "gaussian", "poisson" or "negative_binomial".
        "bernoulli" is for data in [0, 1], such as pixels; "gaussian" for real
        numbers, with one learned noise variance; "poisson" and "negative_binomial" for counts,
        with each row's sum as offset. "auto" chooses between "bernoulli", for data in [0, 1], and
        "gaussian"; `likelihood_` and the report say which. Set it where you know what the data are.
        A dict from columns (names, or numbers) to one of these or "categorical" makes the table one
        of several kinds; columns that it leaves out are "bernoulli" if all their values are 0 or 1,
        else "gaussian".
    categorical_features : None, "from_dtype" or array-like, default=None
        Columns that hold categories: texts, or numbers that name something. A mask, numbers or
        names of columns; "from_dtype" stands for the columns of a DataFrame of the dtype
        "category", and for those that hold texts. Then `likelihood_` is "mixed": a category has
        a probability for each of its values, every column of numbers a noise variance of its own
        in units of its own deviation, and the log-likelihood is the sum over columns. Values that
        fit has not seen count as missing. What comes back (`cluster_centers_`, `sample`,
        `inverse_transform`, `impute`) has the columns, dtypes and categories that came in. With
        None all columns must be numbers.
    encoder, decoder : torch.nn.Module or None, default=None
        Your own networks, used as templates: each fit trains copies. An encoder maps
        (n_samples, n_features) to (n_samples, n_hidden); linear heads for m(x) and log s2(x) are
        added to it. With neighbours or labels it runs several times per step, in training mode.
        A decoder maps (n_samples, latent_dim) to (n_samples, n_features), the logits, means or
        log rates of the likelihood. `hidden_layer_sizes` and `activation` do not apply to a network
        of your own. For images, begin with :class:`torch.nn.Unflatten`.
    n_neighbors : int, default=15
        Number of nearest neighbours of each row, found in the codes and in 40 principal components
        together. The search is exact up to 20,000 rows; beyond that, neighbours are sought among
        the rows of small cells around each row, which finds nearly all of them in time that grows
        no faster than n log n. Lower it where clusters have few rows, raise it where a cluster
        falls apart.
    neighbor_weight : float, default=200.0
        Weight of the neighbour embedding, in nats per pair, beside the reconstruction and later the
        last phase's objective. Each neighbour is first moved by .3 of its distance, in the
        direction in which the encoder separates the pair fastest, which makes the encoder smooth;
        by less where neighbours differ mostly outside the principal components. 0 turns all
        of this off, to get the method as in its paper, or where distances between rows mean little.
        Lower it where reconstructions matter more than clusters.
    init : {"auto", "gmm", "k-means", "random"}, array-like or clusterer, default="auto"
        The first partition of the codes. "gmm" is the best of 24 Gaussian mixtures (64 for small
        tables), each fitted to 6,000 codes (or twenty a cluster); they are compared without labels,
        by the number of clusters used, then by the mutual information of the assignment and the
        share of neighbours kept together. "auto" also merges the parts of larger mixtures (of small
        tables also of mixtures of their principal components) along the graph of neighbours, and
        takes what comes of it where that parts the graph far better: it finds clusters of very
        uneven sizes, or long ones, that lie apart. Without neighbours (`neighbor_weight=0`) it is
        "gmm", and for tables of which at least half of the columns are categories, or hold zeros
        and ones, it is latent classes of the rows. An array of shape (n_samples,) holds labels from
        0. An array of shape (n_clusters, latent_dim) holds means among the codes as they are when
        clusters are sought; these are known beforehand, as principal components in the model's
        units, for Gaussian data, built-in networks, ``pretrain_iter=0`` and ``neighbor_weight=0``.
        Any object with scikit-learn's `fit_predict` is run on the codes. Change it where you know a
        partition, or want clusters of another kind.
    n_init : int, default=1
        Number of complete fits. The one with the most clusters in use and, among these, the highest
        mutual information of the assignment is kept. Raise it where seeds disagree; the time grows
        in proportion.
    pretrain_iter : "auto" or int, default="auto"
        Passes over the data in the autoencoder phase; the neighbour phase has half as many steps.
        "auto" is 1,125 gradient steps at 70,000 rows and grows with n_samples ** 0.25; below 4,000
        rows it falls with the square root, and small tables, which start at their principal
        components, need none, but for ``neighbor_weight=0``. Without a linear path it is 2,500. The
        neighbour phase then has 2,100 steps at 70,000 rows, growing with the square root. With
        "auto" both end early where their loss has come to a plateau. Raise it when the
        reconstruction is still falling at the end.
    max_iter : "auto" or int, default="auto"
        Maximum number of passes over the data in the last gradient phase. "auto" grows with the
        square root of n_samples: at 70,000 rows it is 500 gradient steps for VaDEClustering, and
        2,500 for the other methods and without neighbours. Methods that first hold their clusters
        spend another fifth of this on it, and an integer bounds the phase, too, in which codes are
        taught a partition. Raise it when `converged_` is False and the loss is still falling.
    batch_size : "auto" or int, default="auto"
        Rows per gradient step; "auto" is 128, 256 from 5,000 rows on and 512 from 20,000, and 512
        for small tables. In phases with neighbours, half of them are neighbours, of which only the
        codes are used. The number of steps in "auto" budgets does not depend on the batch size, so
        larger batches take longer. Lower it where memory is short.
    learning_rate : float, default=4e-3
        Peak learning rate of Adam while neighbours are drawn together; at most 1. The autoencoder
        before that is trained at half of it. It is lowered below 4,000 rows with their square root,
        and once more by half for small tables. The last phases use half of it in VaDEClustering
        with neighbours and a quarter elsewhere, and that of `adversarial_iter` twice it from 400
        steps on; the last phase less below 5,000 rows, down to a tenth of that at 500 rows and
        fewer, and above 70,000 rows less by their fourth root. Lower it when training had to
        recover from a non-finite loss.
    learning_rate_schedule : {"cosine", "step", "constant"}, default="cosine"
        Course of the learning rate over a phase, after a short linear warm-up: down to zero along
        half a cosine, down to a tenth after each third, or constant. Use "constant" for
        fits that you continue with `warm_start`.
    tol : float, default=1e-3
        The last phase ends when at most this share of labels changes between checks. With
        `early_stopping`, the relative improvement of the held-out bound that counts. Raise it to
        stop earlier.
    n_iter_no_change : int, default=5
        Number of consecutive checks that must meet `tol`. Labels are checked after a pass over the
        data, or some 25 to 50 times in a full phase that has more passes; the held-out bound after
        every pass. Raise it where a phase ends too early.
    early_stopping : bool, default=False
        Stop the last phase when the bound on held-out rows no longer improves, and return to its
        best state. These rows are not trained on. Useful with few rows and large networks, which
        overfit.
    validation_fraction : float, default=0.1
        Share of rows held out for `early_stopping`. Raise it where this leaves so few rows that
        their bound is noisy.
    warm_start : bool, default=False
        Continue the last phase of the previous fit instead of starting anew; parameters that shape
        the model must be unchanged. Use it for more passes, or for new rows of the same kind.
    device : str, default="auto"
        "cpu", "cuda", "cuda:<index>" or "mps"; "auto" is the fastest that is present. Set it to
        leave a GPU to others, or to choose one.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        Precision of the networks in training. "auto" is bfloat16 where the hardware multiplies it
        natively, else float32. Densities are always computed in float32, and predictions in float32
        or float64. Use "float32" where results on different machines should agree as far as they
        can.
    random_state : int, RandomState instance or None, default=None
        Governs everything random; an int makes fits repeatable on one machine. The global
        generators of numpy and torch are neither used nor changed. Try several, and trust what
        they agree on.
    verbose : bool or int, default=False
        Show the progress of every phase: a bar with the loss, or a line; in a log, a line at
        least every half minute.
    """

    latent_dim: int | str = "auto"
    hidden_layer_sizes: Sequence[int] | str = "auto"
    activation: str = "relu"
    linear_path: bool = True
    likelihood: str | dict[Any, str] = "auto"
    categorical_features: Any = None
    encoder: Any = None
    decoder: Any = None
    n_neighbors: int = 15
    neighbor_weight: float = 200.0
    init: Any = "auto"
    n_init: int = 1
    pretrain_iter: int | str = "auto"
    max_iter: int | str = "auto"
    batch_size: int | str = "auto"
    learning_rate: float = 4e-3
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
    n_clusters : int or "auto", default=4
        Number of clusters K. Always set it; the default has no meaning. Some clusters may end up
        empty, with a warning. "auto" finds a number from 2 to `max_clusters`: the fit is preceded
        by the first phases of another, whose codes are split into many groups, which are merged
        along the graph of neighbours. Where that has no clear end, there is a warning, and
        `report()` names other numbers. It adds a third to a half to the time of a fit.
    max_clusters : int, default=30
        The greatest number that ``n_clusters="auto"`` may find. Raise it where that finds nearly as
        many.
    compare : bool, default=True
        Whether a fit ends with k-means, a Gaussian mixture and the start of a default fit of at
        most 4,000 rows, on their principal components, so that `report()` can say what these find
        and which parts the data better. Set it to False where a tenth of a second to two
        seconds count.
    """

    n_clusters: int | str = 4
    _: KW_ONLY
    max_clusters: int = 30
    compare: bool = True

    _shaping = ("n_clusters",)


@parameters
class MixtureParameters:
    """Of every method with a Gaussian mixture in latent space.

    Parameters
    ----------
    covariance_type : {"full", "tied", "diag", "spherical"}, default="full"
        Shape of the components in latent space, as in
        :class:`~sklearn.mixture.GaussianMixture`. VaDE's paper uses "diag". Use simpler shapes with
        few rows or many latent dimensions.
    reg_covar : float, default=1e-2
        Lower limit for the variance of a component in each latent dimension, given the dimensions
        after it, relative to the pooled variance within clusters; between 0 (excluded) and 1. Raise
        it when clusters shrink onto few rows.

    Attributes
    ----------
    covariances_ : ndarray
        Component covariances in latent space, in the shape that
        :class:`~sklearn.mixture.GaussianMixture` uses for the `covariance_type`.
    """

    covariance_type: str = "full"
    reg_covar: float = 1e-2

    _shaping = ("covariance_type", "reg_covar")
