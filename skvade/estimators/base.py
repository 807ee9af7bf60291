"""What every estimator shares: one `fit`, from parameters to fitted attributes."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score
from sklearn.utils import ClassifierTags, check_random_state

from skvade.estimators import validation
from skvade.estimators.building import BuildingMixin
from skvade.estimators.callbacks import Callbacks, CallbackSupportMixin, with_callbacks
from skvade.estimators.candidate import Candidate, information
from skvade.estimators.column_kinds import look, settle
from skvade.estimators.facts import Facts
from skvade.estimators.fitted import FittedMixin
from skvade.estimators.parameters import DeepParameters
from skvade.estimators.pickling import PicklingMixin
from skvade.estimators.predictor import snapshot
from skvade.estimators.preparing import PreparingMixin
from skvade.estimators.recipe import Recipe
from skvade.estimators.same import check_same
from skvade.estimators.warm_start import check_warm
from skvade.nn.autoencoder import Autoencoder
from skvade.nn.draws import Draws
from skvade.nn.networks import copied
from skvade.persistence.fingerprint import identity_of, networks_of
from skvade.persistence.shared_checkpoint import open_checkpoint
from skvade.training.batches import Rows
from skvade.training.events import History, Listener, Progress
from skvade.training.handover import Handover
from skvade.training.peers import ALONE, Peers, current_peers
from skvade.training.run import Keeper, Phase, Run
from skvade.training.runtime import Runtime, resolve_runtime
from skvade.training.units import row_slices

LOW_AGREEMENT = 0.5
UNSETTLED = 0.01  # share of rows


class BaseDeepModel(
    PreparingMixin,
    BuildingMixin,
    PicklingMixin,
    CallbackSupportMixin,
    FittedMixin,
    BaseEstimator,
    Recipe,
    DeepParameters,
):
    """Codes with clusters among them, trained in phases.

    Subclasses say which model they build and which objectives train it.

    Attributes
    ----------
    labels_ : ndarray of shape (n_samples,)
        Cluster of each training row, the largest cluster first; the same as `predict`.
    cluster_centers_ : {ndarray, DataFrame} of shape (n_clusters, n_features)
        The decoded middle of each cluster, in the units of X; where X has categories, in a table
        like X.
    means_ : ndarray of shape (n_clusters, latent_dim)
        Cluster centres mu_c among the codes.
    cluster_sizes_ : ndarray of shape (n_clusters,)
        Training rows in each cluster, in decreasing order.
    doubt_ : float
        The share of every row's probability that `predict_proba` spreads evenly over the clusters,
        in [0, 1): that with which the mean probability of the training rows in their clusters is
        the share of their nearest neighbours that are in the same one. These are a tenth of the
        rows that a cluster has in the mean, at least three and at most `n_neighbors`. 0 where the
        model is no surer than that, or neighbours were not sought. A warm start leaves it no less
        than it was, and `partial_fit` as it was.
    mutual_information_ : float
        H(mean q) - mean H(q) of the training rows' q(c|x), in nats; at most log(n_clusters).
        Among fits of the same data, higher is usually better.
    restart_agreement_ : float
        Adjusted Rand index between the two best restarts: of the whole fit if `n_init` > 1, of
        the initial mixture otherwise, NaN where there was one only.
    history_ : list of dict
        One record per pass over the data: phase, epoch, steps, loss and its terms. Model units:
        Gaussian data are shifted and scaled to a mean feature variance of one.
    n_iter_ : int
        Passes over the data in the last phase.
    converged_ : bool
        Whether assignments, or the held-out loss, met `tol` for `n_iter_no_change` checks; False
        when the budget was used up before, or a callback ended the phase.
    likelihood_ : str
        The likelihood in use.
    latent_dim_ : int
        The number of latent dimensions in use.
    hidden_layer_sizes_ : tuple of int
        The widths in use of the encoder's hidden layers, where it is not your own.
    module_ : torch.nn.Module
        The fitted model.
    n_features_in_ : int
        Number of features seen during fit.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features seen during fit, if all are strings.
    """

    _count = "n_clusters"  # the parameter that says how many clusters there are
    _cure_of_empty = "Lower n_clusters, or raise n_init or pretrain_iter."
    covariance_type = "full"  # of the mixtures that start methods without one of their own
    _counts_clusters = False  # before it fits

    def _check_parameters(self) -> None:
        """Raise an error that names the first parameter that is not valid."""
        validation.check_parameters(self)

    def _read_labels(self, y: Any, n_samples: int) -> tuple[int, np.ndarray | None]:
        """The number of clusters, and the known cluster of each row, -1 where it is not known."""
        return self.n_clusters, None

    def _order(self, counts: np.ndarray) -> np.ndarray:
        """The clusters' order, given how many training rows each has: the largest first."""
        return np.argsort(-counts, kind="stable")

    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        checkpoint: Any = None,
        checkpoint_interval: float = 300.0,
    ) -> Any:
        """Train on X.

        Parameters
        ----------
        X : {array-like, sparse matrix, sparse array} of shape (n_samples, n_features)
            Numbers of any real dtype, NaN where a value is missing. Memory maps are read in
            batches, and sparse rows are made dense a batch at a time.
        y : Ignored
            Present for API consistency by convention; callbacks that score are given it.
        checkpoint : path-like or None, default=None
            A file that keeps the state of the fit, so that the same call goes on from there after
            a crash, and ends as it would have without: to the bit, on the CPU with the same number
            of threads. One file for each fit, so not inside a search. A finished fit leaves it:
            remove it to train anew. Callbacks are no part of it: they hear of what is left. The
            call is the same if parameters, data, labels, type of device, precision and versions
            (of skvade, torch, scikit-learn, numpy and scipy) are; of modules the classes, all
            attributes, parameters and buffers are compared, but not the code of their methods.
        checkpoint_interval : float, default=300.0
            Seconds from one state to the next; a state takes about five times the memory of the
            networks, and once more for each restart that is done, and that of the neighbours.

        Returns
        -------
        self
            The fitted estimator.

        Raises
        ------
        ValueError, TypeError
            If a parameter or X is not valid, the checkpoint is that of another fit or no regular
            file, or a warm start is given another network; nothing has been trained then. After
            any error the estimator is as it was before the call.
        FloatingPointError
            If the loss stays non-finite although training was taken back and slowed.
        """
        return self._fit_whole(X, y, checkpoint, checkpoint_interval)

    def _fit_whole(self, X: Any, y: Any, checkpoint: Any, interval: float) -> Any:
        """Fit a draft, and take its attributes over at once, when nothing can fail any more.

        Whoever looks at this estimator meanwhile, a callback or another thread, sees the older fit.
        """
        draft, before = snapshot(self), dict(vars(self))
        draws = self.random_state if isinstance(self.random_state, np.random.RandomState) else None
        state = None if draws is None else draws.get_state()
        try:
            doubts = self._fit(draft, X, y, checkpoint, interval)
            for finding in draft._findings if current_peers().is_main else ():
                validation.warn(finding, UserWarning if finding in doubts else ConvergenceWarning)
        except BaseException as error:
            current_peers().abandon(error)
            if draws is not None and state is not None:
                draws.set_state(state)
            raise
        after = vars(draft)
        kept = {n: value for n, value in vars(self).items() if n in after or n not in before}
        found = {n: v for n, v in after.items() if n not in before or v is not before[n]}
        self.__dict__ = {**kept, **found}
        return self

    @with_callbacks
    def _fit(self, draft: Any, X: Any, y: Any, checkpoint: Any, interval: float) -> tuple[str, ...]:
        """Fit the draft of this estimator, whom callbacks know; returns doubts of the data."""
        n_runs = draft.n_init if draft._warm_model() is None else 1
        context = self._init_callback_context(max_subtasks=n_runs)
        told = {"estimator": self, "X": X, "y": y}
        warm, peers = draft._warm_model(), current_peers()
        with peers.together():
            draft._check_parameters()
            resolve_runtime(draft.device, draft.precision)
            seen = None
            if warm is None:
                validation.refuse_containers(X)
                vars(draft).pop("_columns", None)  # of an earlier fit
                seen = look(draft, X)
        if warm is None and (columns := settle(seen, peers)) is not None:
            draft._columns = columns
        with peers.together():
            X = draft._check_rows(X, reset=warm is None)
        check_same(draft, X, checkpoint, peers)
        n_clusters, labels = draft._read_labels(y, X.shape[0])
        n_rows = peers.total(X.shape[0])
        with peers.alike():
            validation.check_n_clusters(draft._count, n_clusters, n_rows)
        runtime = resolve_runtime(draft.device, draft.precision, peers)
        # None stands for fresh entropy: numpy's global state is the caller's.
        rng = (
            np.random.RandomState()
            if draft.random_state is None
            else check_random_state(draft.random_state)
        )
        if peers.size > 1:
            rng.set_state(peers.tell(rng.get_state()))
        if warm is not None:
            with peers.together():
                check_warm(draft)
        keeper = Keeper()
        if checkpoint is not None:
            keeper = open_checkpoint(
                lambda: identity_of(draft, X, labels, warm, runtime), checkpoint, interval, peers
            )
        keeper.begin(rng)
        facts, rows = draft._prepare(X, runtime, warm is not None, rng, n_clusters, labels)
        keeper.claim()

        context.call_on_fit_task_begin(**told)
        listeners: list[Listener] = []
        if getattr(self, "_skl_callbacks", None):
            listeners = [Callbacks(context, told, partial(draft._as_fitted, X, facts, rows, rng))]
        train = partial(draft._train, rows=rows, runtime=runtime, keeper=keeper)
        if draft._counts_clusters:
            facts = draft._count_clusters(facts, train, int(rng.randint(2**31)), peers)
        candidates = [
            train(facts, warm=warm, seed=int(rng.randint(2**31)), listeners=listeners)
            for _ in range(n_runs)
        ]
        if len(candidates) > 1:  # a rank takes a pass over the data
            candidates.sort(key=lambda candidate: candidate.rank, reverse=True)
        draft._finish(X, facts, candidates, rng)
        draft._look_back(X, facts, peers)
        context.call_on_fit_task_end(**told, reconstruction_attributes=vars(draft))
        return facts.doubts

    def _as_fitted(
        self, X: Any, facts: Facts, rows: Rows, rng: np.random.RandomState, run: Run
    ) -> dict[str, Any]:
        """The attributes of this estimator, if its fit ended with a run as it is now."""
        estimator = snapshot(self)
        alone = replace(run.runtime, peers=ALONE)  # others are not asked for this
        now = replace(run, model=run.fitted_model(), history=list(run.history), runtime=alone)
        estimator._finish(X, facts, [Candidate(now, rows)], copy.deepcopy(rng))
        return vars(estimator)

    def _finish(
        self, X: Any, facts: Facts, candidates: list[Candidate], rng: np.random.RandomState
    ) -> None:
        """Set all fitted attributes."""
        self._units = facts.units
        self._dtype = validation.working_dtype(X)
        self._shaped_by = self._shape_parameters()
        if self._warm_model() is None:  # what else `load` needs to build the model again
            self._summary = facts.shape.summary
            own = (name for name in ("encoder", "decoder") if getattr(self, name) is not None)
            self._supplied = tuple(own)
            self._templates = networks_of(self) if self._supplied else {}
            self._reason = facts.reason
        else:
            holes = self._summary.has_holes or facts.shape.summary.has_holes
            self._summary = replace(self._summary, has_holes=holes)
        self.likelihood_ = facts.shape.likelihood
        self.latent_dim_ = facts.shape.latent_dim
        self.hidden_layer_sizes_ = facts.shape.hidden_layer_sizes
        self._linear_path = facts.shape.linear_path
        self._n_filling = facts.shape.n_filling
        self._n_runs = len(candidates)
        self._publish(X, candidates, rng)
        self._findings = (*facts.doubts, *self._find_faults(candidates[0]))

    def _train(
        self,
        facts: Facts,
        rows: Rows,
        runtime: Runtime,
        warm: Autoencoder | None,
        seed: int,
        keeper: Keeper,
        listeners: Sequence[Listener],
        make_phases: Callable[[Facts], list[Phase]] | None = None,
    ) -> Candidate:
        listeners = [History(), *listeners]
        if self.verbose and runtime.peers.is_main:
            listeners.append(Progress())
        facts = replace(facts, monitor=copy.copy(facts.monitor))
        supplied = self.encoder is not None or self.decoder is not None
        draws = Draws(seed) if supplied else None
        own_draws = Draws(seed + 7919 * runtime.peers.rank) if supplied else None
        if warm is None:
            with nullcontext() if draws is None else draws():
                networks = self._make_networks(facts.shape, rows, seed)
                self._start_at_components(networks, facts.components)
                n_rows = runtime.peers.even_share(self._rows_a_step(facts))
                with runtime.peers.together():
                    self._check_trainable(networks, facts.shape, rows, n_rows)
            model = self._make_model(networks, facts.shape)
            phases, handover = (make_phases or self._make_phases)(facts), Handover()
        else:
            model = copied(warm)
            model.likelihood.has_holes = facts.shape.summary.has_holes
            phases = (make_phases or self._make_warm_phases)(facts)
            handover = Handover(scale=self._scale, doubt=getattr(self, "doubt_", 0.0))
        run = Run(model, rows, runtime, seed, listeners, handover=handover, keeper=keeper)
        run.draws = draws if runtime.peers.size == 1 else own_draws
        return Candidate(run.go(phases), rows)

    def _warm_model(self) -> Any:
        """The model that a warm start goes on with."""
        return getattr(self, "module_", None) if self.warm_start else None

    def _publish(self, X: Any, candidates: list[Candidate], rng: np.random.RandomState) -> None:
        run = candidates[0].run
        self.module_ = run.model.eval()
        predictor, peers = self._predictor, run.runtime.peers
        n_clusters = len(self.module_.centers())
        proba = predictor.memberships(X)
        counts = peers.total(np.bincount(proba.argmax(1), minlength=n_clusters))
        order = self._order(counts)
        device = next(self.module_.parameters()).device
        self.module_.permute_(torch.from_numpy(order).to(device))
        for part in row_slices(*proba.shape):  # in place: a copy is as large
            proba[part] = proba[part][:, order]

        self.labels_ = proba.argmax(1)
        self.cluster_sizes_ = counts[order]
        self.mutual_information_ = information(proba, peers)
        self._confidence = peers.mean(float(proba.max(1).mean()), len(proba))
        self.doubt_ = run.handover.doubt
        self.restart_agreement_ = run.handover.agreement
        if len(candidates) > 1:
            pair = (peers.concatenate(candidate.labels) for candidate in candidates[:2])
            self.restart_agreement_ = float(adjusted_rand_score(*pair))
        self._scale, self._stays = run.handover.scale, run.handover.stays
        self._codes_fixed = run.handover.codes_fixed
        vars(self).pop("_group", None)  # of an earlier fit
        if peers.size > 1:
            self._group = {"size": peers.size, "elsewhere": run.handover.elsewhere}
        self.history_ = run.history
        self.n_iter_ = self.history_[-1]["epoch"]
        self.converged_ = run.handover.converged
        for name, values in predictor.statistics().items():
            setattr(self, f"{name}_", values)
        centers = predictor.centers()
        self.cluster_centers_ = self._given_back(centers)
        vars(self).pop("_decoded", None)  # of an earlier fit
        if self._columns_in_use is not None:
            self._decoded = centers

    def _look_back(self, X: Any, facts: Facts, peers: Peers) -> None:
        """Look at a fit that has ended, once, at what `report` says of it."""

    def _find_faults(self, best: Candidate) -> tuple[str, ...]:
        name = type(self).__name__
        n_used, n_clusters = int((self.cluster_sizes_ > 0).sum()), len(self.cluster_sizes_)
        budget = self.max_iter != "auto" and self.n_iter_ >= self.max_iter
        checks = (record["changed"] for record in reversed(self.history_) if "changed" in record)
        changed = next(checks, 0.0)
        faults = {
            f"{name} uses {n_used} of {self._count}={n_clusters} clusters; the others are empty. "
            f"{self._cure_of_empty}": n_used < n_clusters,
            f"The two best restarts of {name} agree little (adjusted Rand index "
            f"{self.restart_agreement_:.2f}, below {LOW_AGREEMENT}): other clusterings fit the "
            f"data about as well. Check {self._count}, or raise n_init or pretrain_iter.": (
                self.restart_agreement_ < LOW_AGREEMENT
            ),
            f"The loss of {name} became non-finite {best.run.n_rescues} time(s); training was "
            "taken back and slowed. Standardise the data, or lower learning_rate "
            f"(now {self.learning_rate}).": best.run.n_rescues > 0,
            f"{name} stopped at max_iter={self.max_iter} before it had converged; raise "
            "max_iter, or set max_iter='auto'.": not self.converged_ and budget,
            f"The labels of {name} did not settle: {changed:.1%} of rows changed their cluster in "
            f"the last check, more than {UNSETTLED:.0%}. Raise max_iter, or lower "
            f"{self._count}.": not self.converged_ and not budget and changed > UNSETTLED,
        }
        return tuple(message for message, present in faults.items() if present)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = True
        # predict_proba has a column for each of several clusters; scikit-learn's check of sparse
        # input reads that from here, whether or not the estimator is a classifier.
        tags.classifier_tags = ClassifierTags()
        tags.input_tags.positive_only = self.likelihood in ("poisson", "negative_binomial")
        return tags
