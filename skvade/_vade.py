"""VaDEClustering: variational deep embedding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sklearn.base import ClassNamePrefixFeaturesOutMixin, ClusterMixin, TransformerMixin

from skvade._base import BaseDeepMixture, Plan
from skvade._validation import COMMON_CONSTRAINTS
from skvade.nn.covariances import COVARIANCES
from skvade.nn.mixtures import GaussianMixturePrior
from skvade.nn.models import MixtureVAE
from skvade.objectives.reconstruction import Reconstruction
from skvade.objectives.vade import HeldNegativeELBO, NegativeELBO
from skvade.training.budgets import n_steps
from skvade.training.phases import (
    InitialiseMixture,
    Optimise,
    Phase,
    autoencoder_parameters,
)
from skvade.training.schedules import SCHEDULES, WarmUp, constant

PRETRAIN_STEPS = 4_000
TRAIN_STEPS = 3_000


class VaDEClustering(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClusterMixin, BaseDeepMixture
):
    def __init__(
        self,
        n_clusters: int = 8,
        *,
        latent_dim: int = 10,
        hidden_layer_sizes: Sequence[int] = (500, 500, 2000),
        activation: str = "relu",
        likelihood: str = "auto",
        covariance_type: str = "full",
        reg_covar: float = 1e-2,
        encoder: Any = None,
        decoder: Any = None,
        init: Any = "gmm",
        n_init: int = 1,
        pretrain_iter: int | str = "auto",
        max_iter: int | str = "auto",
        batch_size: int | str = "auto",
        learning_rate: float = 1e-3,
        learning_rate_schedule: str = "cosine",
        tol: float = 1e-3,
        n_iter_no_change: int = 10,
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

    _parameter_constraints = COMMON_CONSTRAINTS

    def _make_model(self, networks: dict[str, Any], plan: Plan) -> MixtureVAE:
        covariance = COVARIANCES[self.covariance_type](
            self.n_clusters, self.latent_dim, floor=self.reg_covar
        )
        return MixtureVAE(**networks, mixture=GaussianMixturePrior(covariance))

    def _make_phases(self, plan: Plan) -> list[Phase]:
        schedule = SCHEDULES[self.learning_rate_schedule]
        shared = {"batch_size": plan.batch_size, "learning_rate": self.learning_rate}
        n_rows = plan.summary.n_samples
        pretrain = n_steps(self.pretrain_iter, n_rows, plan.batch_size, PRETRAIN_STEPS)
        train = n_steps(self.max_iter, n_rows, plan.batch_size, TRAIN_STEPS)
        return [
            Optimise(
                "pretrain",
                lambda run: Reconstruction(),
                pretrain,
                schedule=WarmUp(schedule),
                parameters=autoencoder_parameters,
                **shared,
            ),
            InitialiseMixture(plan.initialiser, self.reg_covar),
            Optimise(
                "hold",
                lambda run: HeldNegativeELBO(run.memory["partition"]),
                train // 7,
                schedule=WarmUp(constant),
                **shared,
            ),
            Optimise(
                "train",
                lambda run: NegativeELBO(),
                train,
                schedule=WarmUp(schedule),
                listeners=[plan.monitor],
                **shared,
            ),
        ]
