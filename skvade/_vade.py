"""VaDEClustering: variational deep embedding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from sklearn.base import ClusterMixin

from skvade._base import BaseDeepMixture, Plan
from skvade._validation import COMMON_CONSTRAINTS
from skvade.nn.covariances import COVARIANCES
from skvade.nn.mixtures import GaussianMixturePrior
from skvade.nn.models import MixtureVAE
from skvade.objectives.base import EncodedObjective, Objective
from skvade.objectives.neighbours import PUSH, WithNeighbours
from skvade.objectives.reconstruction import Reconstruction
from skvade.objectives.vade import HeldNegativeELBO, NegativeELBO
from skvade.training.budgets import auto_steps, fine_tuning, n_steps
from skvade.training.phases import (
    FindNeighbours,
    InitialiseMixture,
    Optimise,
    Phase,
    autoencoder_parameters,
)
from skvade.training.schedules import SCHEDULES, WarmUp, constant
from skvade.training.trainer import Run

PRETRAIN_STEPS, PRETRAIN_GROWTH = 2_500, 0.25
NEIGHBOUR_STEPS = 1_400
TRAIN_STEPS = 2_500


class VaDEClustering(ClusterMixin, BaseDeepMixture):
    """Variational deep embedding: a variational autoencoder with a Gaussian-mixture prior.

    One model clusters, embeds, scores and generates. Rows are explained by

        c ~ Cat(pi),    z | c ~ N(mu_c, Sigma_c),    x | z ~ p(x | f(z)),

    with a neural decoder f, and inference is by q(z|x) = N(m(x), diag s2(x)) and the closed form
    q(c|x) = softmax_c e_c(x), e_c(x) = log pi_c + E_q(z|x)[log N(z; mu_c, Sigma_c)], which is the
    optimum of the evidence lower bound. Training has five phases: an autoencoder; the same with its
    codes' neighbours drawn together and strangers kept apart; a mixture on the codes; the bound
    with clusters held at that mixture's; the bound.

    Parameters
    ----------
    n_clusters : int, default=4
        Number of clusters K; the default means nothing, set it. Some may end up empty,
        with a warning.
    latent_dim : int, default=10
        Dimensions L of the latent space. Raise it when reconstructions are poor, lower it when
        there are few rows.
    hidden_layer_sizes : sequence of int, default=(500, 500, 2000)
        Widths of the encoder's hidden layers; the decoder mirrors them. Smaller networks are
        faster, and on small data less accurate in our measurements.
    activation : {"relu", "leaky_relu", "elu", "gelu", "silu", "tanh"}, default="relu"
        Of the hidden layers.
    likelihood : {"auto", "bernoulli", "gaussian", "poisson", "negative_binomial"}, default="auto"
        Family of p(x|z). "bernoulli" is for data in [0, 1], such as pixels; "gaussian" for real
        numbers, with one learned noise variance; "poisson" and "negative_binomial" for counts,
        with each row's sum as offset. "auto" is "bernoulli" if X lies in [0, 1] and "gaussian"
        otherwise; set it where a column that happens to lie in [0, 1] must not decide.
    covariance_type : {"full", "tied", "diag", "spherical"}, default="full"
        Shape of the components in latent space, as in
        :class:`~sklearn.mixture.GaussianMixture`. The paper's is "diag".
    reg_covar : float, default=1e-2
        Least variance of a component in each latent dimension given those after it, relative to
        the pooled variance within clusters; between 0 (excluded) and 1. Raise it when clusters
        shrink onto few rows.
    encoder, decoder : torch.nn.Module or None, default=None
        Networks of your own, used as templates: each fit trains copies. An encoder takes
        (n_samples, n_features) to (n_samples, n_hidden), and linear heads for m(x) and log s2(x)
        are put on it; with neighbours it is run three times a step, in training mode. A decoder
        takes (n_samples, latent_dim) to (n_samples, n_features), the
        logits, means or log rates of the likelihood. `hidden_layer_sizes` and `activation` then
        do not apply to it. For images begin with :class:`torch.nn.Unflatten`.
    n_neighbors : int, default=15
        Nearest neighbours of each row that count as its neighbours: near in the codes and in 40
        principal components, both together. Exact up to 100,000 rows; beyond, they are sought in
        the cells of k-means around each row, in time that grows with the power 1.5 of the rows,
        and nearly all are found.
    neighbor_weight : float, default=200.0
        Weight of the neighbour embedding, in nats a pair, beside the reconstruction and later the
        bound. Each neighbour is moved first, by .3 of its distance, to where the encoder keeps it
        least, which makes the encoder smooth; by less where neighbours differ mostly beside the
        principal components. 0 turns all of it off: VaDE without neighbours.
    init : {"gmm", "k-means", "random"}, array-like or clusterer, default="gmm"
        The first partition of the codes. "gmm" is the best of 24 Gaussian mixtures, each on at
        most 6,000 codes of its own, by used clusters, then by the mutual information of the
        assignment and the share of neighbours that it keeps together, without labels.
        An array of shape (n_samples,) holds labels from 0; one of shape (n_clusters, latent_dim)
        holds means among the codes of the autoencoder, before they are rescaled, and so goes with
        a trained `encoder` and ``pretrain_iter=0``; any object with scikit-learn's `fit_predict`
        is run on the codes.
    n_init : int, default=1
        Whole fits; the one with most used clusters and, among these, the highest mutual
        information of the assignment is kept.
    pretrain_iter : "auto" or int, default="auto"
        Passes over the data of the autoencoder phase; the neighbour phase has half as many steps.
        "auto" is 2,500 gradient steps at 70,000 rows and grows with n_samples ** 0.25, from 4,000
        rows down with the square root; and 1,400 for the neighbour phase, which grows with the
        square root.
    max_iter : "auto" or int, default="auto"
        Passes over the data of the last phase, at most. "auto" is 2,500 gradient steps at 70,000
        rows and grows with the square root of n_samples. A fifth of this is spent with held
        clusters before.
    batch_size : "auto" or int, default="auto"
        Rows per gradient step; "auto" is 128, 256 from 5,000 rows on and 512 from 20,000. With
        neighbours, half of them are neighbours, of which only the codes count. The number of steps
        of "auto" budgets does not depend on it.
    learning_rate : float, default=2e-3
        Of Adam, at its highest, in the phases of the autoencoder. The bound is trained at half of
        it, and below 5,000 rows at less, down to a twentieth from 500 rows on. Lower it when the
        loss had to be rescued.
    learning_rate_schedule : {"cosine", "step", "constant"}, default="cosine"
        Course of the learning rate over a phase, after a short linear rise: down to zero along
        half a cosine, or to a tenth after each third, or constant.
    tol : float, default=1e-3
        The last phase ends when at most this share of labels changes between checks. With
        `early_stopping`, the relative improvement of the held-out bound that counts.
    n_iter_no_change : int, default=5
        Checks in a row that must meet `tol`. Labels are checked after a pass over the data, at
        most 25 times in a full phase; the held-out bound after every pass.
    early_stopping : bool, default=False
        End the last phase when the bound on held-out rows stops improving, and return to its
        best state. Those rows are not trained on.
    validation_fraction : float, default=0.1
        Share of rows held out for `early_stopping`.
    warm_start : bool, default=False
        Go on with the last phase from the previous fit instead of starting anew; parameters that
        shape the model must be the same.
    device : str, default="auto"
        "cpu", "cuda", "cuda:<index>" or "mps"; "auto" is the fastest that is present.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        Of the networks in training. "auto" is bfloat16 where the hardware multiplies it
        natively. Densities are always in float32, and predictions never in less.
    random_state : int, RandomState instance or None, default=None
        Governs everything random; an int makes fits repeatable on one machine. The global
        generators of numpy and torch are neither used nor changed.
    verbose : bool or int, default=False
        Show a progress bar for each phase.

    Attributes
    ----------
    labels_ : ndarray of shape (n_samples,)
        Cluster of each training row, the largest cluster first; the same as `predict`.
    cluster_centers_ : ndarray of shape (n_clusters, n_features)
        Decoded component means, in the units of X.
    weights_ : ndarray of shape (n_clusters,)
        Mixture weights pi.
    means_ : ndarray of shape (n_clusters, latent_dim)
        Component means mu_c in latent space.
    covariances_ : ndarray
        Component covariances in latent space, in the shape that
        :class:`~sklearn.mixture.GaussianMixture` uses for the `covariance_type`.
    cluster_sizes_ : ndarray of shape (n_clusters,)
        Training rows in each cluster, in decreasing order.
    mutual_information_ : float
        H(mean q) - mean H(q) of the training rows' q(c|x), in nats; at most log(n_clusters).
        Among fits of the same data, higher is usually better.
    restart_agreement_ : float
        Adjusted Rand index between the two best restarts: of the whole fit if `n_init` > 1, of
        the initial mixture otherwise, NaN where there was one only.
    lower_bound_ : float
        Evidence lower bound per row in the last pass, in nats, in the units of X; the neighbour
        terms are not part of it.
    history_ : list of dict
        One record per pass over the data: phase, epoch, steps, loss and its terms. Model units:
        Gaussian data are shifted and scaled to a mean feature variance of one.
    n_iter_ : int
        Passes over the data in the last phase.
    converged_ : bool
        Whether assignments, or the held-out bound, met `tol` for `n_iter_no_change` checks; False
        when the budget was used up before.
    likelihood_ : str
        The likelihood in use.
    module_ : torch.nn.Module
        The fitted model.
    n_features_in_ : int
        Number of features seen during fit.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features seen during fit, if all are strings.

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

    _parameter_constraints = COMMON_CONSTRAINTS

    def __init__(
        self,
        n_clusters: int = 4,
        *,
        latent_dim: int = 10,
        hidden_layer_sizes: Sequence[int] = (500, 500, 2000),
        activation: str = "relu",
        likelihood: str = "auto",
        covariance_type: str = "full",
        reg_covar: float = 1e-2,
        encoder: Any = None,
        decoder: Any = None,
        n_neighbors: int = 15,
        neighbor_weight: float = 200.0,
        init: Any = "gmm",
        n_init: int = 1,
        pretrain_iter: int | str = "auto",
        max_iter: int | str = "auto",
        batch_size: int | str = "auto",
        learning_rate: float = 2e-3,
        learning_rate_schedule: str = "cosine",
        tol: float = 1e-3,
        n_iter_no_change: int = 5,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        warm_start: bool = False,
        device: str = "auto",
        precision: str = "auto",
        random_state: Any = None,
        verbose: bool | int = False,
    ):
        self.n_clusters = n_clusters
        self.latent_dim = latent_dim
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.likelihood = likelihood
        self.covariance_type = covariance_type
        self.reg_covar = reg_covar
        self.encoder = encoder
        self.decoder = decoder
        self.n_neighbors = n_neighbors
        self.neighbor_weight = neighbor_weight
        self.init = init
        self.n_init = n_init
        self.pretrain_iter = pretrain_iter
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_schedule = learning_rate_schedule
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.warm_start = warm_start
        self.device = device
        self.precision = precision
        self.random_state = random_state
        self.verbose = verbose

    def _make_model(self, networks: dict[str, Any], plan: Plan) -> MixtureVAE:
        covariance = COVARIANCES[self.covariance_type](
            self.n_clusters, self.latent_dim, floor=self.reg_covar
        )
        return MixtureVAE(**networks, mixture=GaussianMixturePrior(covariance))

    def _make_phases(self, plan: Plan) -> list[Phase]:
        schedule = SCHEDULES[self.learning_rate_schedule]
        n_rows, size = plan.n_rows, plan.batch_size
        # Of a batch with neighbours half are rows; the neighbours that they bring are encoded only.
        pairs = max(1, size // 2) if self.neighbor_weight else size
        budget = self.pretrain_iter
        pretrain = n_steps(budget, n_rows, size, PRETRAIN_STEPS, PRETRAIN_GROWTH)
        embedding = auto_steps(n_rows, NEIGHBOUR_STEPS) if budget == "auto" else pretrain // 2
        train = n_steps(self.max_iter, n_rows, pairs, TRAIN_STEPS)
        steps = partial(
            Optimise,
            batch_size=pairs,
            learning_rate=self.learning_rate,
            schedule=WarmUp(schedule),
        )
        rate = self.learning_rate * fine_tuning(n_rows)
        embed = [
            FindNeighbours(self.n_neighbors),
            steps(
                "neighbours",
                self._near(lambda run: Reconstruction()),
                embedding,
                parameters=autoencoder_parameters,
            ),
        ]
        return [
            steps(
                "pretrain",
                lambda run: Reconstruction(),
                pretrain,
                batch_size=size,
                parameters=autoencoder_parameters,
            ),
            *(embed if self.neighbor_weight else []),
            InitialiseMixture(plan.initialiser, self.reg_covar),
            steps(
                "hold",
                self._near(lambda run: HeldNegativeELBO(run.memory["partition"])),
                train // 5,
                schedule=WarmUp(constant),
                learning_rate=rate,
            ),
            steps(
                "train",
                self._near(lambda run: NegativeELBO()),
                train,
                learning_rate=rate,
                listeners=[plan.monitor],
            ),
        ]

    def _make_warm_phases(self, plan: Plan) -> list[Phase]:
        graph = [FindNeighbours(self.n_neighbors, rescale=False)] if self.neighbor_weight else []
        return [*graph, *super()._make_warm_phases(plan)]

    def _near(self, objective: Callable[[Run], EncodedObjective]) -> Callable[[Run], Objective]:
        """The objective beside the neighbour embedding, unless that is off."""
        if not self.neighbor_weight:
            return objective

        def near(run: Run) -> Objective:
            graph, scale = run.memory["graph"], run.memory["scale"]
            push = PUSH * graph.signal
            return WithNeighbours(objective(run), graph, self.neighbor_weight, scale, push=push)

        return near
