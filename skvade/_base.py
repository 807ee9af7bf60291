"""What every deep mixture estimator shares: one `fit`, and everything that follows it."""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.metrics import adjusted_rand_score
from sklearn.utils import ClassifierTags, check_array, check_random_state
from sklearn.utils.validation import check_is_fitted

from skvade import _validation as validation
from skvade._report import Report, describe
from skvade.metrics import mutual_information
from skvade.nn.likelihoods import LIKELIHOODS
from skvade.nn.models import MixtureVAE
from skvade.nn.networks import make_decoder, make_encoder
from skvade.nn.summary import DataSummary
from skvade.objectives.vade import TERMS
from skvade.training.batches import Rows, Units, extent, measure_units, summarize
from skvade.training.budgets import auto_batch_size
from skvade.training.events import HeldOut, History, Listener, Progress, Settled
from skvade.training.initialisation import make_initialiser
from skvade.training.initialiser import Initialiser
from skvade.training.phases import Phase
from skvade.training.runtime import Runtime, isolated_random_state, resolve_runtime
from skvade.training.trainer import Run

N_SCORE_DRAWS = 32
LOW_AGREEMENT = 0.5


@dataclass(frozen=True)
class Plan:
    """What `fit` has found out before it trains, for the estimator that names model and phases.

    Attributes
    ----------
    summary : DataSummary
    likelihood : str
    units : Units
        Of the data, as the model sees them.
    n_rows : int
        Rows that are trained on.
    batch_size : int
    initialiser : Initialiser
    monitor : Settled or HeldOut
        Decides when the last phase ends.
    """

    summary: DataSummary
    likelihood: str
    units: Units
    n_rows: int
    batch_size: int
    initialiser: Initialiser
    monitor: Any


@dataclass(frozen=True)
class Candidate:
    """One finished training, ready to be compared with others without labels."""

    run: Run
    monitor: Any
    labels: np.ndarray
    information: float

    @property
    def rank(self) -> tuple[int, float]:
        """Used clusters first, mutual information of the assignment second."""
        return len(np.unique(self.labels)), self.information


class BaseDeepMixture(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator, ABC):
    """A model with codes and a mixture of clusters, trained in phases.

    Subclasses say which model they build and which phases train it.
    """

    _parameter_constraints: dict[str, list[Any]]

    @abstractmethod
    def _make_model(self, networks: dict[str, Any], plan: Plan) -> Any:
        """Build the model around the given `encoder`, `decoder` and `likelihood`."""

    @abstractmethod
    def _make_phases(self, plan: Plan) -> list[Phase]:
        """The phases of a fit from scratch; the last is what `max_iter` and `tol` speak of."""

    def _make_warm_phases(self, plan: Plan) -> list[Phase]:
        """The phases of a fit that goes on from the previous one."""
        return self._make_phases(plan)[-1:]

    # ------------------------------------------------------------------ fit

    def fit(self, X: Any, y: Any = None) -> Any:
        """Train on X.

        Parameters
        ----------
        X : {array-like, sparse matrix, sparse array} of shape (n_samples, n_features)
            Numbers of any real dtype. Memory maps are read in batches, and sparse rows are made
            dense a batch at a time.
        y : Ignored
            Present for API consistency by convention.

        Returns
        -------
        self
            The fitted estimator.

        Raises
        ------
        ValueError, TypeError
            If a parameter or X is not valid; nothing has been trained then. After any error the
            estimator is as it was before the call.
        FloatingPointError
            If the loss stays non-finite although training was taken back and slowed.
        """
        before = dict(self.__dict__)
        try:
            self._fit(X)
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise
        return self

    def _fit(self, X: Any) -> None:
        validation.check_parameters(self)
        warm = getattr(self, "module_", None) if self.warm_start else None
        X = validation.check_rows(self, X, reset=warm is None)
        validation.check_n_clusters(self.n_clusters, X.shape[0])
        runtime = resolve_runtime(self.device, self.precision)
        # None stands for fresh entropy: numpy's global state is the caller's.
        rng = (
            np.random.RandomState()
            if self.random_state is None
            else check_random_state(self.random_state)
        )
        if warm is not None:
            self._check_warm()
        plan, rows = self._prepare(X, runtime, warm is not None, rng)

        candidates = [
            self._train(plan, rows, runtime, warm, seed=int(rng.randint(2**31)))
            for _ in range(self.n_init if warm is None else 1)
        ]
        candidates.sort(key=lambda candidate: candidate.rank, reverse=True)
        self._noise = rng.standard_normal((N_SCORE_DRAWS, self.latent_dim))
        self._units = plan.units
        self._dtype = validation.working_dtype(X)
        self._shaped_by = self._shape_parameters()
        self.likelihood_ = plan.likelihood
        self._publish(X, candidates)
        self._findings = self._find_faults(candidates[0])
        for finding in self._findings:
            validation.warn_convergence(finding)

    def _prepare(
        self, X: Any, runtime: Runtime, warm: bool, rng: np.random.RandomState
    ) -> tuple[Plan, Rows]:
        summary = summarize(X)
        fitted = self.likelihood_ if warm else None
        name = fitted or validation.choose_likelihood(self.likelihood, summary)
        likelihood = LIKELIHOODS[name]
        validation.check_support(name, likelihood, summary.minimum, summary.maximum)
        units = Units()
        if likelihood.standardizes:
            units = self._units if warm else measure_units(X)
        rows = Rows(X, runtime.device, units=units)
        init, n_samples = self.init, X.shape[0]
        initialiser = make_initialiser(
            init, self.n_clusters, self.latent_dim, n_samples, self.covariance_type
        )
        monitor: Listener = Settled(self.tol, self.n_iter_no_change)
        if self.early_stopping:
            n_held_out = max(1, round(self.validation_fraction * n_samples))
            if n_samples - n_held_out < max(self.n_clusters, 2):
                raise ValueError(
                    f"early_stopping holds out {n_held_out} of {n_samples} rows, which leaves "
                    f"fewer than n_clusters={self.n_clusters}; lower validation_fraction (now "
                    f"{self.validation_fraction}) or pass more rows."
                )
            order = rng.permutation(n_samples)
            held_out, kept = np.sort(order[:n_held_out]), np.sort(order[n_held_out:])
            initialiser = initialiser.restricted(kept)
            seed = int(rng.randint(2**31))
            kept_out = runtime.place(rows.subset(held_out))
            monitor = HeldOut(kept_out, self.tol, self.n_iter_no_change, seed)
            rows = rows.subset(kept)
        rows = runtime.place(rows)
        size = auto_batch_size(len(rows)) if self.batch_size == "auto" else self.batch_size
        return Plan(summary, name, units, len(rows), size, initialiser, monitor), rows

    def _train(self, plan: Plan, rows: Rows, runtime: Runtime, warm: Any, seed: int) -> Candidate:
        listeners: list[Listener] = [History()]
        if self.verbose and runtime.is_main:
            listeners.append(Progress())
        monitor = copy.copy(plan.monitor)
        plan = replace(plan, monitor=monitor)
        own_networks = self.encoder is None and self.decoder is None
        state = nullcontext() if own_networks else isolated_random_state(seed, runtime.device)
        with state:
            if warm is None:
                model = self._make_model(self._make_networks(plan, rows, seed), plan)
                run = Run(model, rows, runtime, seed, listeners)
                run.go(self._make_phases(plan))
            else:
                memory = {"scale": self._scale}
                run = Run(copy.deepcopy(warm), rows, runtime, seed, listeners, memory=memory)
                run.go(self._make_warm_phases(plan))
        with torch.inference_mode():
            proba = rows.map(run.model.assign, _row_bytes(rows)).double().numpy()
        return Candidate(run, monitor, proba.argmax(1), mutual_information(proba))

    def _make_networks(self, plan: Plan, rows: Rows, seed: int) -> dict[str, Any]:
        generator = torch.Generator().manual_seed(seed)
        likelihood = LIKELIHOODS[plan.likelihood](plan.summary)
        sizes = tuple(int(size) for size in self.hidden_layer_sizes)
        shared = (sizes, self.latent_dim, self.activation, generator)
        example = likelihood.encoder_input(rows.take(slice(0, 2)).cpu())
        return {
            "encoder": make_encoder(self.encoder, example, *shared),
            "decoder": make_decoder(self.decoder, rows.n_features, *shared),
            "likelihood": likelihood,
        }

    def _shape_parameters(self) -> dict[str, Any]:
        names = ("n_clusters", "latent_dim", "activation", "covariance_type", "reg_covar")
        sizes = tuple(self.hidden_layer_sizes)
        return {"hidden_layer_sizes": sizes, **{name: getattr(self, name) for name in names}}

    def _check_warm(self) -> None:
        now = {"likelihood": self.likelihood, **self._shape_parameters()}
        fitted = {"likelihood": self.likelihood_, **self._shaped_by}
        if self.likelihood == "auto":
            now["likelihood"] = self.likelihood_
        changed = [name for name in fitted if now[name] != fitted[name]]
        if changed:
            was = ", ".join(f"{name}={fitted[name]!r}" for name in changed)
            new = ", ".join(f"{name}={now[name]!r}" for name in changed)
            raise ValueError(
                f"warm_start=True goes on with the fitted model's {was}, got {new}; set them back, "
                "or set warm_start=False to start anew."
            )

    def _publish(self, X: Any, candidates: list[Candidate]) -> None:
        best = candidates[0]
        self.module_ = best.run.model.eval()
        counts = np.bincount(self._labels(X), minlength=self.n_clusters)
        order = np.argsort(-counts, kind="stable")
        device = next(self.module_.parameters()).device
        self.module_.mixture.permute_(torch.from_numpy(order).to(device))
        proba = self._proba(X)

        self.labels_ = proba.argmax(1)
        self.cluster_sizes_ = np.bincount(self.labels_, minlength=self.n_clusters)
        self.mutual_information_ = mutual_information(proba)
        self.restart_agreement_ = best.run.memory.get("agreement", float("nan"))
        if len(candidates) > 1:
            pair = (candidate.labels for candidate in candidates[:2])
            self.restart_agreement_ = float(adjusted_rand_score(*pair))
        self._scale = best.run.memory.get("scale", 1.0)
        self.history_ = best.run.history
        self.n_iter_ = self.history_[-1]["epoch"]
        self.converged_ = bool(best.monitor.converged)
        last = self.history_[-1]  # of a plain autoencoder there is no bound
        self.lower_bound_ = self._in_data_units(-sum(last.get(name, np.nan) for name in TERMS))
        model = _in_precision(self.module_, torch.float64, torch.device("cpu"))
        with torch.no_grad():
            self.weights_ = model.mixture.log_weights().exp().numpy()
            self.means_ = model.mixture.means.numpy().copy()
            self.covariances_ = model.mixture.covariance.covariances().numpy()
        self.cluster_centers_ = self._decode(self.means_, self._dtype)

    def _find_faults(self, best: Candidate) -> tuple[str, ...]:
        name = type(self).__name__
        n_used = int((self.cluster_sizes_ > 0).sum())
        faults = {
            f"{name} uses {n_used} of n_clusters={self.n_clusters} clusters; the others are "
            "empty. Lower n_clusters, or raise n_init or pretrain_iter.": n_used < self.n_clusters,
            f"The two best restarts of {name} agree little (adjusted Rand index "
            f"{self.restart_agreement_:.2f}): other clusterings fit the data about as well. "
            "Check n_clusters, or raise n_init or pretrain_iter.": (
                self.restart_agreement_ < LOW_AGREEMENT
            ),
            f"The loss of {name} became non-finite {best.run.n_rescues} time(s); training was "
            "taken back and slowed. Standardise the data, or lower learning_rate "
            f"(now {self.learning_rate}).": best.run.n_rescues > 0,
            f"{name} stopped at max_iter={self.max_iter} before it had converged; raise "
            "max_iter, or set max_iter='auto'.": not self.converged_ and self.max_iter != "auto",
        }
        return tuple(message for message, present in faults.items() if present)

    # ------------------------------------------------------- after fitting

    def report(self) -> Report:
        """What happened in the fit, and whether to trust it.

        Returns
        -------
        Report
            `print` it; its `findings` name what speaks against the run, as the warnings of `fit`
            did, and `trustworthy` is True if there is nothing.
        """
        check_is_fitted(self)
        return describe(self, self._findings)

    def predict(self, X: Any) -> np.ndarray:
        """The most probable cluster of each row.

        Parameters
        ----------
        X : {array-like, sparse matrix, sparse array} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,), int64
            Clusters from 0, the largest in training first.
        """
        return self._labels(self._check_new(X))

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probability of each cluster given each row, q(c|x) = softmax_c e_c(x).

        `e_c(x) = log pi_c + E_q(z|x) [log N(z; mu_c, Sigma_c)]`, which makes q(c|x) the optimum of
        the evidence lower bound. It is computed row by row, without random draws, in float32 for
        float32 and narrower data and in float64 otherwise.

        Parameters
        ----------
        X : {array-like, sparse matrix, sparse array} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_clusters)
        """
        return self._proba(self._check_new(X))

    def transform(self, X: Any) -> np.ndarray:
        """The latent code of each row: the mean m(x) of q(z|x).

        Parameters
        ----------
        X : {array-like, sparse matrix, sparse array} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, latent_dim)
            In units of the pooled standard deviation within clusters at the start of training.
        """
        return self._map_rows(self._check_new(X), lambda model, x: model.code(x))

    def inverse_transform(self, X: Any) -> np.ndarray:
        """Decode latent codes to expected rows, E[x|z].

        Parameters
        ----------
        X : array-like of shape (n_samples, latent_dim)
            Codes, as `transform` returns them.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            In the units of the training data. Counts are decoded for its median row sum.
        """
        check_is_fitted(self)
        codes = check_array(X, dtype=[np.float64, np.float32], input_name="X")
        if codes.shape[1] != len(self.means_[0]):
            raise ValueError(
                f"X has {codes.shape[1]} columns, but inverse_transform expects codes with "
                f"latent_dim={len(self.means_[0])} columns, as transform returns them."
            )
        return self._decode(codes, codes.dtype)

    def score_samples(self, X: Any) -> np.ndarray:
        """Log-likelihood of each row, an importance-weighted estimate from below.

        `log 1/S sum_s p(x|z_s) p(z_s) / q(z_s|x)` with S = 32 draws z_s of q(z|x) that are fixed at
        fit and shared by all rows, so that the scores are deterministic.

        Parameters
        ----------
        X : {array-like, sparse matrix, sparse array} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,)
            In nats; densities are with respect to the units of X.

        Raises
        ------
        ValueError
            If X lies outside the support of the likelihood.

        References
        ----------
        Burda, Grosse, Salakhutdinov, "Importance weighted autoencoders", ICLR 2016.
        """
        X = self._check_new(X, within_support=True)

        def log_evidence(model: MixtureVAE, x: torch.Tensor) -> torch.Tensor:
            noise = torch.from_numpy(self._noise).to(x)
            return model.log_evidence(x, noise)

        return self._in_data_units(self._map_rows(X, log_evidence, n_draws=N_SCORE_DRAWS))

    def score(self, X: Any, y: Any = None) -> float:
        """Mean log-likelihood of the rows; higher is better.

        Parameters
        ----------
        X : {array-like, sparse matrix, sparse array} of shape (n_samples, n_features)
        y : Ignored
            Present for API consistency by convention.

        Returns
        -------
        float
            The mean of `score_samples`, in nats per row.
        """
        return float(self.score_samples(X).mean(dtype=np.float64))

    def sample(
        self, n_samples: int = 1, *, cluster: int | None = None, random_state: Any = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Generate new rows: c ~ Cat(pi), z ~ N(mu_c, Sigma_c), x ~ p(x|z).

        Parameters
        ----------
        n_samples : int, default=1
        cluster : int or None, default=None
            Generate from this cluster only.
        random_state : int, RandomState instance or None, default=None
            None stands for the estimator's own `random_state`.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            Grey values, that is Bernoulli data strictly between 0 and 1, come as means.
        y : ndarray of shape (n_samples,), int64
            The cluster of each row.

        Raises
        ------
        ValueError
            If `n_samples` is not a positive integer or `cluster` does not exist.
        """
        check_is_fitted(self)
        n_clusters = len(self.weights_)
        if not isinstance(n_samples, Integral) or n_samples < 1:
            raise ValueError(f"n_samples must be an integer of at least 1, got {n_samples!r}.")
        names_one = isinstance(cluster, Integral) and not isinstance(cluster, bool)
        if cluster is not None and not (names_one and 0 <= cluster < n_clusters):
            raise ValueError(
                f"cluster must be None or an integer from 0 to {n_clusters - 1}, got {cluster!r}."
            )
        state = self.random_state if random_state is None else random_state
        rng = np.random.RandomState() if state is None else check_random_state(state)
        weights = self.weights_ if cluster is None else np.eye(n_clusters)[cluster]
        labels = rng.choice(n_clusters, n_samples, p=weights / weights.sum())
        generator = torch.Generator().manual_seed(int(rng.randint(2**31)))
        precision = torch.float64 if self._dtype == np.float64 else torch.float32
        model = _in_precision(self.module_, precision, torch.device("cpu"))
        rows = []
        with torch.inference_mode():
            for part in np.array_split(labels, -(-n_samples // 4096)):
                z = model.mixture.sample(torch.from_numpy(part), generator)
                rows.append(model.likelihood.sample(model.decode(z), generator).numpy())
        return self._units.to_data(np.concatenate(rows)).astype(self._dtype, copy=False), labels

    # -------------------------------------------------------------- helpers

    @property
    def _n_features_out(self) -> int:
        return self.means_.shape[1]

    def _check_new(self, X: Any, within_support: bool = False) -> Any:
        check_is_fitted(self)
        X = validation.check_rows(self, X, reset=False)
        if within_support or LIKELIHOODS[self.likelihood_].encodes_support_only:
            self._check_support(X)
        return X

    def _check_support(self, X: Any) -> None:
        likelihood = LIKELIHOODS[self.likelihood_]
        validation.check_support(self.likelihood_, likelihood, *extent(X))

    def _labels(self, X: Any) -> np.ndarray:
        return self._map_rows(X, lambda model, x: model.assign(x).argmax(-1))

    def _proba(self, X: Any) -> np.ndarray:
        return self._map_rows(X, lambda model, x: model.assign(x))

    def _map_rows(
        self, X: Any, function: Callable[[Any, torch.Tensor], torch.Tensor], n_draws: int = 0
    ) -> np.ndarray:
        dtype = validation.working_dtype(X)
        model = self._inference_model(dtype, decodes=n_draws > 0)
        parameter = next(model.parameters())
        rows = Rows(X, parameter.device, _numpy_dtype(parameter), self._units)
        with torch.inference_mode():
            row_bytes = max(1, n_draws) * _row_bytes(rows)
            whole = rows.map(lambda x: function(model, x), row_bytes).numpy()
        return whole.astype(dtype, copy=False) if whole.dtype.kind == "f" else whole

    def _decode(self, codes: np.ndarray, dtype: Any) -> np.ndarray:
        model = self._inference_model(dtype)
        parameter = next(model.parameters())
        rows = Rows(codes, parameter.device, _numpy_dtype(parameter))
        with torch.inference_mode():
            decoded = rows.map(
                lambda z: model.likelihood.mean(model.decode(z)), row_bytes=8 * self.n_features_in_
            )
        return self._units.to_data(decoded.numpy()).astype(dtype, copy=False)

    def _in_data_units(self, log_density: Any) -> Any:
        """Change of variables: x_model = (x - shift) / scale in each of D features."""
        return log_density - self.n_features_in_ * math.log(self._units.scale)

    def _inference_model(self, dtype: Any, decodes: bool = True) -> Any:
        model = self.module_
        device = next(model.parameters()).device
        wide = np.dtype(dtype) == np.float64 and device.type != "mps"
        unused = [] if decodes else [model.decoder]
        return _in_precision(model, torch.float64 if wide else torch.float32, device, unused)

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        if "module_" in state:
            # A model that was trained on a GPU must load where there is none.
            state = {**state, "module_": copy.deepcopy(state["module_"]).cpu()}
        return state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        # predict_proba has a column for each of several clusters; scikit-learn's check of sparse
        # input reads that from here, whether or not the estimator is a classifier.
        tags.classifier_tags = ClassifierTags()
        tags.input_tags.positive_only = self.likelihood in ("poisson", "negative_binomial")
        return tags


def _in_precision(
    model: Any, dtype: torch.dtype, device: torch.device, unused: Sequence[torch.nn.Module] = ()
) -> Any:
    """The model itself, or a copy whose tensors are converted, but for those of parts not used."""
    parameter = next(model.parameters())
    if (parameter.dtype, parameter.device) == (dtype, device):
        return model
    left = {id(tensor) for part in unused for tensor in (*part.parameters(), *part.buffers())}
    copies: dict[int, Any] = {id(part): part for part in unused}
    for tensor in (*model.parameters(), *model.buffers()):
        if id(tensor) not in left:
            new = tensor.detach().to(device, dtype if tensor.is_floating_point() else tensor.dtype)
            is_parameter = isinstance(tensor, torch.nn.Parameter)
            copies[id(tensor)] = torch.nn.Parameter(new, False) if is_parameter else new
    return copy.deepcopy(model, copies)


def _numpy_dtype(parameter: torch.Tensor) -> type:
    return np.float64 if parameter.dtype == torch.float64 else np.float32


def _row_bytes(rows: Rows) -> int:
    """Room for the activations of a row, generously: a network a few times as wide as the data."""
    return 8 * max(4096, 4 * rows.n_features)
