"""What every estimator shares: one `fit`, and everything that follows it."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score
from sklearn.utils import ClassifierTags, check_array, check_random_state

from skvade.estimators import validation
from skvade.estimators.callbacks import Callbacks, CallbackSupportMixin, with_callbacks
from skvade.estimators.candidate import Candidate, information
from skvade.estimators.column_kinds import look, settle
from skvade.estimators.columns import Columns
from skvade.estimators.comparison import objections
from skvade.estimators.exported import write_onnx
from skvade.estimators.facts import Facts
from skvade.estimators.parameters import DeepParameters
from skvade.estimators.pickling import PicklingMixin
from skvade.estimators.predictor import Predictor, of_one_fit, snapshot
from skvade.estimators.recipe import Recipe
from skvade.estimators.report import Report, describe
from skvade.estimators.same import check_same
from skvade.estimators.sizes import auto_hidden_layer_sizes, auto_latent_dim
from skvade.estimators.warm_start import check_warm
from skvade.nn.autoencoder import Autoencoder, Networks
from skvade.nn.draws import Draws
from skvade.nn.filling import Filling
from skvade.nn.mixed import FAMILIES, MIXED
from skvade.nn.networks import (
    copied,
    example_codes,
    make_decoder,
    make_encoder,
    start_linear_paths_,
    try_training,
)
from skvade.nn.summary import DataSummary, ModelShape
from skvade.persistence import model_file
from skvade.persistence.fingerprint import identity_of, networks_of
from skvade.persistence.shared_checkpoint import open_checkpoint
from skvade.training.batches import Rows
from skvade.training.dealing import deal
from skvade.training.events import HeldOut, History, Listener, Progress, Settled
from skvade.training.handover import Handover
from skvade.training.initialisation import LabelledStart, make_initialiser
from skvade.training.initialiser import Initialiser
from skvade.training.latent_classes import Table
from skvade.training.neighbours import Components, principal_components
from skvade.training.peers import ALONE, Peers, current_peers
from skvade.training.run import Keeper, Phase, Run
from skvade.training.runtime import Runtime, resolve_runtime
from skvade.training.schedules import auto_batch_size, is_small
from skvade.training.units import (
    FAR,
    Units,
    extent,
    has_holes,
    measure_units,
    n_observed,
    summarize,
)

N_COMPONENTS = 40
STARTS, MANY_STARTS = 24, 64  # mixtures; a small table's take milliseconds
LOW_AGREEMENT = 0.5
UNSETTLED = 0.01  # share of rows


class BaseDeepModel(
    PicklingMixin,
    CallbackSupportMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
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
    _gives_numbers = False  # where a table of several kinds came in

    @abstractmethod
    def _make_model(self, networks: Networks, shape: ModelShape) -> Autoencoder:
        """Build the model around the given networks and likelihood."""

    def _check_parameters(self) -> None:
        """Raise an error that names the first parameter that is not valid."""
        validation.check_parameters(self)

    def _read_labels(self, y: Any, n_samples: int) -> tuple[int, np.ndarray | None]:
        """The number of clusters, and the known cluster of each row, -1 where it is not known."""
        return self.n_clusters, None

    def _order(self, counts: np.ndarray) -> np.ndarray:
        """The clusters' order, given how many training rows each has: the largest first."""
        return np.argsort(-counts, kind="stable")

    def _n_decoded(self, shape: ModelShape) -> int:
        """Columns of what the decoder takes."""
        return shape.latent_dim

    # ------------------------------------------------------------------ fit

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
        self.likelihood_ = facts.shape.likelihood
        self.latent_dim_ = facts.shape.latent_dim
        self.hidden_layer_sizes_ = facts.shape.hidden_layer_sizes
        self._linear_path = facts.shape.linear_path
        self._n_filling = facts.shape.n_filling
        self._n_runs = len(candidates)
        self._publish(X, candidates, rng)
        self._findings = (*facts.doubts, *self._find_faults(candidates[0]))

    def _prepare(
        self,
        X: Any,
        runtime: Runtime,
        warm: bool,
        rng: np.random.RandomState,
        n_clusters: int,
        labels: np.ndarray | None = None,
    ) -> tuple[Facts, Rows]:
        peers, columns, n_samples = runtime.peers, self._columns_in_use, X.shape[0]
        summary, choice = self._choose_likelihood(X, warm, peers)
        name, likelihood = choice.name, FAMILIES[choice.name]
        units, doubts = Units(), choice.doubts
        if likelihood.standardizes:
            if warm:
                units = self._units
            else:
                units, more = self._measure(X, summary, peers)
                doubts = (*doubts, *more)
        rows = Rows(X, runtime.device, units=units)
        kept = np.arange(n_samples)
        monitor: Listener = Settled(self.tol, self.n_iter_no_change)
        if self.early_stopping:
            kept, monitor = self._hold_out(rows, labels, n_clusters, runtime, rng)
            rows = rows.subset(kept)
        n_rows = peers.total(len(rows))
        small = is_small(n_rows, rows.n_features)
        size = auto_batch_size(n_rows, small) if self.batch_size == "auto" else self.batch_size
        view = likelihood(summary).encoder_input
        seed = int(rng.randint(2**31))
        given = (N_COMPONENTS, seed, peers, summary.has_holes)
        components = principal_components(rows, view, *given)
        dealt = deal(rows, components if self.neighbor_weight else None, seed, peers)
        fewest = min(peers.collect(len(dealt.rows)))
        with peers.alike():
            if fewest < 2:
                raise ValueError(
                    f"Dealt among {peers.size} processes, {n_rows} rows leave {fewest} to one of "
                    "them, and each needs two; start fewer processes."
                )
        dealt = replace(dealt, rows=runtime.place(dealt.rows))
        sizes = self._fitted_sizes() if warm else self._sizes(components, small)
        shape = ModelShape(n_clusters, name, summary, **sizes)
        table = None
        starts = isinstance(self.init, str) and self.init == "auto" and not warm
        if columns is not None and columns.mostly_categories and starts:
            table = Table.of(Rows(X, units=units), likelihood(summary))
        initialiser = self._make_initialiser(shape, n_samples, small, peers, table)
        if labels is not None:
            initialiser = LabelledStart(initialiser, labels, n_clusters)
        initialiser = initialiser.restricted(kept).of_all(peers)
        dealt_from = peers.concatenate(dealt.numbers)
        if table is not None:
            table = table.restricted(kept).of_all(peers).restricted(dealt_from)
        if labels is not None:
            labels = peers.concatenate(labels[kept])[dealt.numbers]
        facts = Facts(
            shape=shape,
            units=units,
            n_rows=n_rows,
            small=small,
            batch_size=size,
            components=components,
            initialiser=initialiser.restricted(dealt_from),
            monitor=monitor,
            trained_on=kept,
            dealt=dealt,
            labels=labels,
            table=table,
            reason=choice.reason,
            doubts=doubts,
        )
        return facts, dealt.rows

    def _choose_likelihood(
        self, X: Any, warm: bool, peers: Peers
    ) -> tuple[DataSummary, validation.LikelihoodChoice]:
        """What is to be known of X, and the likelihood, which X is checked to suit."""
        summary, columns = summarize(X, peers), self._columns_in_use
        if columns is None:
            fitted = self.likelihood_ if warm else None
            choice = validation.choose_likelihood(fitted or self.likelihood, X, summary, peers)
        else:
            blocks = self._summary.blocks if warm else columns.blocks(X, summary, peers)
            summary = replace(summary, blocks=blocks)
            choice = validation.LikelihoodChoice(MIXED, columns.kinds)
        if summary.has_holes:
            n_seen = n_observed(X, peers)
            with peers.alike():
                validation.check_observed(self._names_of_numbers(X), n_seen)
                validation.check_can_miss(self, warm and self._n_filling is None)
        family = FAMILIES[choice.name]
        with peers.alike():
            validation.check_support(choice.name, family, summary.minimum, summary.maximum)
        return summary, choice

    def _hold_out(
        self,
        rows: Rows,
        labels: np.ndarray | None,
        n_clusters: int,
        runtime: Runtime,
        rng: np.random.RandomState,
    ) -> tuple[np.ndarray, HeldOut]:
        """The numbers of the rows to train on, and what watches the loss of the others."""
        n_samples = len(rows)
        n_held_out = max(1, round(self.validation_fraction * n_samples))
        needed = max(n_clusters, 2)
        with runtime.peers.together():
            if n_samples - n_held_out < needed:
                raise ValueError(
                    f"early_stopping holds out {n_held_out} of {n_samples} rows, which leaves "
                    f"{n_samples - n_held_out}, and training with {self._count}={n_clusters} "
                    f"needs {needed}; lower validation_fraction (now "
                    f"{self.validation_fraction}), pass more rows, or set early_stopping=False."
                )
        order = labels_last(runtime.peers.own(rng).permutation(n_samples), labels)
        held_out, kept = np.sort(order[:n_held_out]), np.sort(order[n_held_out:])
        seed = int(rng.randint(2**31))
        kept_out = runtime.place(rows.subset(held_out))
        return kept, HeldOut(kept_out, self.tol, self.n_iter_no_change, seed)

    def _measure(self, X: Any, summary: DataSummary, peers: Peers) -> tuple[Units, tuple[str, ...]]:
        """The units of real numbers, and what their scales make doubtful."""
        columns, names = self._columns_in_use, self._names_of_numbers(X)
        if columns is None:
            measured = measure_units(X, (summary.minimum, summary.maximum), peers)
            return measured.units, validation.doubt(names, measured)
        names = columns.named("gaussian")
        if not names:
            return Units(), ()
        measured = measure_units(X[:, : len(names)], None, peers, scale_each=True)
        doubts = validation.doubt(names, measured, scaled=True)
        return columns.around(measured.units, len(names)), doubts

    def _names_of_numbers(self, X: Any) -> list[Any]:
        """Of the columns of X, in which there are numbers only."""
        columns = self._columns_in_use
        names = getattr(self, "feature_names_in_", range(X.shape[1]))
        return list(names) if columns is None else columns.names

    def _make_initialiser(
        self,
        shape: ModelShape,
        n_samples: int,
        small: bool,
        peers: Peers,
        table: Table | None = None,
    ) -> Initialiser:
        size = (shape.n_clusters, shape.latent_dim, n_samples, self.covariance_type)
        with peers.together():
            return make_initialiser(self.init, *size, MANY_STARTS if small else STARTS, table)

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
            handover = Handover(scale=self._scale)
        run = Run(model, rows, runtime, seed, listeners, handover=handover, keeper=keeper)
        run.draws = draws if runtime.peers.size == 1 else own_draws
        return Candidate(run.go(phases), rows)

    def _check_trainable(
        self, networks: Networks, shape: ModelShape, rows: Rows, n_rows: int
    ) -> None:
        """Try networks of the user's own on a batch as small as training has."""
        n_rows = min(n_rows, len(rows))
        view = networks.likelihood.encoder_input(rows.take(slice(0, n_rows)).cpu().nan_to_num())
        if self.encoder is not None:
            try_training("encoder", networks.encoder.body, view)
        if self.decoder is not None:
            codes = example_codes(n_rows, self._n_decoded(shape))
            try_training("decoder", networks.decoder.body, codes)

    def _make_networks(self, shape: ModelShape, rows: Rows, seed: int) -> Networks:
        generator = torch.Generator().manual_seed(seed)
        likelihood = FAMILIES[shape.likelihood](shape.summary)
        sizes = shape.hidden_layer_sizes
        shared = (self.activation, generator, shape.linear_path)
        example = rows.take(slice(0, 2)).cpu().nan_to_num()  # of its shape is what encoders see
        n_decoded = self._n_decoded(shape)
        encoder = make_encoder(self.encoder, example, sizes, shape.latent_dim, *shared)
        if shape.n_filling is not None:
            encoder.filling = Filling(rows.n_features, shape.n_filling)
        return Networks(
            encoder,
            make_decoder(self.decoder, rows.n_features, sizes, n_decoded, *shared),
            likelihood,
        )

    def _start_at_components(self, networks: Networks, components: Components | None) -> None:
        if components is not None:
            mean, axes = components.mean.cpu(), components.axes.cpu()
            start = networks.likelihood.linear_start(mean)
            start_linear_paths_(networks.encoder, networks.decoder, mean, axes, *start)
            networks.encoder.filling = copy.deepcopy(components.filling).cpu()

    def _fitted_sizes(self) -> dict[str, Any]:
        """Those of the earlier fit that a warm start goes on with."""
        return {
            "latent_dim": self.latent_dim_,
            "hidden_layer_sizes": self.hidden_layer_sizes_,
            "linear_path": self._linear_path,
            "n_filling": self._n_filling,
        }

    def _sizes(self, components: Components | None, small: bool) -> dict[str, Any]:
        """What networks and codes the data get, as `ModelShape` has it."""
        own = self.encoder is not None or self.decoder is not None
        latent_dim, sizes = self.latent_dim, self.hidden_layer_sizes
        if isinstance(latent_dim, str):
            latent_dim = auto_latent_dim(components, small)
        if isinstance(sizes, str):
            sizes = auto_hidden_layer_sizes(small)
        return {
            "latent_dim": int(latent_dim),
            "hidden_layer_sizes": tuple(int(size) for size in sizes),
            "linear_path": bool(self.linear_path) and not own,
            "n_filling": 0 if components is None else components.filling.loadings.shape[1],
        }

    def _shape_parameters(self) -> dict[str, Any]:
        blocks = (cls.__dict__.get("_shaping", ()) for cls in type(self).__mro__)
        shape = {name: getattr(self, name) for names in blocks for name in names}
        sizes = self.hidden_layer_sizes
        return {**shape, "hidden_layer_sizes": sizes if isinstance(sizes, str) else tuple(sizes)}

    def _warm_model(self) -> Any:
        """The model that a warm start goes on with."""
        return getattr(self, "module_", None) if self.warm_start else None

    @property
    def _predictor(self) -> Predictor:
        return Predictor(self.module_, self._units, self._dtype)

    def _publish(self, X: Any, candidates: list[Candidate], rng: np.random.RandomState) -> None:
        run = candidates[0].run
        self.module_ = run.model.eval()
        predictor, peers = self._predictor, run.runtime.peers
        n_clusters = len(self.module_.centers())
        proba = predictor.proba(X)
        counts = peers.total(np.bincount(proba.argmax(1), minlength=n_clusters))
        order = self._order(counts)
        device = next(self.module_.parameters()).device
        self.module_.permute_(torch.from_numpy(order).to(device))
        proba = proba[:, order]

        self.labels_ = proba.argmax(1)
        self.cluster_sizes_ = counts[order]
        self.mutual_information_ = information(proba, peers)
        self._confidence = peers.mean(float(proba.max(1).mean()), len(proba))
        self.restart_agreement_ = run.handover.agreement
        if len(candidates) > 1:
            pair = (peers.concatenate(candidate.labels) for candidate in candidates[:2])
            self.restart_agreement_ = float(adjusted_rand_score(*pair))
        self._scale = run.handover.scale
        vars(self).pop("_group", None)  # of an earlier fit
        if peers.size > 1:
            self._group = {"size": peers.size, "lost": run.handover.lost}
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

    # ------------------------------------------------------- after fitting

    @of_one_fit
    def report(self) -> Report:
        """What happened in the fit, and what its checks found.

        Returns
        -------
        Report
            `print` it; its `findings` name what speaks against the run, as the warnings of `fit`
            did, and `trustworthy` is True if there is nothing. That promises nothing: no check
            knows the right clusters.
        """
        compared = getattr(self, "_comparison", {})  # of clusterers, and not of older pickles
        return describe(self, (*self._findings, *objections(compared)), compared)

    @of_one_fit
    def save(self, path: Any) -> None:
        """Write the fitted estimator to one file, which :func:`skvade.load` reads.

        The file is in the safetensors format and holds tensors and plain values, no code: loading
        executes nothing. It takes the place of an older one when it is complete, and not before,
        and has its mode. It holds one fit whole, also while another thread fits; of what
        scikit-learn keeps on an estimator, the output of `set_output` and requests of metadata come
        back, callbacks do not.

        Parameters
        ----------
        path : str, bytes or path-like
            Such as "model.safetensors". Links are followed.

        Raises
        ------
        NotFittedError
            If there is nothing to save.
        TypeError
            If a parameter could only be loaded by executing code, such as a clusterer as `init`;
            the message names it. Of an `encoder` or `decoder` of your own the tensors are saved,
            and :func:`skvade.load` asks for the module. If the path is none.
        ValueError
            If the path is not that of a regular file but of a folder, a device, a pipe or the like.
        OSError
            If the file cannot be written; an older one is left as it was.
        """
        model_file.save(self, path)

    @of_one_fit
    def to_onnx(self, path: Any) -> None:
        """Write the fitted model as an ONNX file: see :func:`skvade.to_onnx`.

        Parameters
        ----------
        path : str, bytes or path-like
            Such as "model.onnx".
        """
        write_onnx(self, path)

    @of_one_fit
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
        return self._predictor.labels(self._check_new(X))

    @of_one_fit
    def predict_proba(self, X: Any) -> np.ndarray:
        """The probability q(c|x) of each cluster given each row, as the class's notes define it.

        It is computed row by row, without random draws, in float32 for float32 and narrower data
        and in float64 otherwise. It says how far clusters lie apart in the model, and is mostly
        near 0 or 1; it does not say how often a row is in the right cluster.

        Parameters
        ----------
        X : {array-like, sparse matrix, sparse array} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_clusters)
        """
        return self._predictor.proba(self._check_new(X))

    @of_one_fit
    def transform(self, X: Any) -> np.ndarray:
        """The latent code of each row: m(x), the mean of q(z|x) in models that have one.

        Parameters
        ----------
        X : {array-like, sparse matrix, sparse array} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, latent_dim)
            In units of the pooled standard deviation within clusters at the start of training.
        """
        return self._predictor.of_rows(self._check_new(X), lambda module, x: module.embed(x))

    @of_one_fit
    def impute(self, X: Any) -> Any:
        """The same rows with missing values filled by the model: E[x|z] at each row's code.

        Observed values stay as they are. Where the encoder sees nothing, it sees what the row's
        other values lead one to expect, by probabilistic principal components.

        Parameters
        ----------
        X : {array-like, sparse matrix, sparse array} of shape (n_samples, n_features)
            With NaN, or pandas' NA, where a value is missing.

        Returns
        -------
        {ndarray, DataFrame, sparse container} of shape (n_samples, n_features)
            A pandas DataFrame has the index and the columns of X; a sparse X stays sparse, and
            only its explicit NaN are filled; of all else comes an array. Columns of whole numbers
            with holes become floats. Where the model was fitted to a table with categories, a table
            like that, with its dtypes.
        """
        rows = self._check_new(X)
        decoded = self._predictor.of_rows(rows, lambda m, x: m.expected_rows(x), n_draws=1)
        expected = self._units.to_data(decoded)
        if self._columns_in_use is not None:
            return self._columns_in_use.fill(X, rows, expected)
        if sp.issparse(rows):
            filled = rows.tocoo(copy=True)
            holes = np.isnan(filled.data)
            filled.data[holes] = expected[filled.row[holes], filled.col[holes]]
            return filled.asformat(rows.format)
        if rows.dtype.kind != "f":
            return X if hasattr(X, "iloc") else rows.copy()
        filled = np.where(np.isnan(rows), expected.astype(rows.dtype, copy=False), rows)
        if not (hasattr(X, "iloc") and hasattr(X, "columns")):
            return filled
        frame = X.copy()
        for number in range(X.shape[1]):
            if np.isnan(rows[:, number]).any():
                frame.isetitem(number, filled[:, number])
        return frame

    @of_one_fit
    def inverse_transform(self, X: Any) -> np.ndarray:
        """Decode latent codes to expected rows, E[x|z].

        Parameters
        ----------
        X : array-like of shape (n_samples, latent_dim)
            Codes, as `transform` returns them.

        Returns
        -------
        {ndarray, DataFrame} of shape (n_samples, n_features)
            In the units of the training data. Counts are decoded for its median row sum. Where the
            model was fitted to a table with categories, a table like that: the most probable
            category, and the nearest whole number where there were such.
        """
        rows = self._decode(self._check_codes(X), lambda module, z: module.expect(z))
        return self._given_back(rows)

    # -------------------------------------------------------------- helpers

    @property
    def _columns_in_use(self) -> Columns | None:
        """Those of a table of several kinds; None where all are numbers of one kind."""
        return getattr(self, "_columns", None)

    @staticmethod
    def _columns_from(values: dict[str, Any]) -> Columns:
        """Those of a file."""
        return Columns.of(values)

    def _given_back(self, rows: np.ndarray) -> Any:
        """Decoded rows in the columns that came in."""
        columns = None if self._gives_numbers else self._columns_in_use
        return rows if columns is None else columns.decode(rows)

    def _one_of_each(self, X: Any) -> Any:
        """Of rows as numbers, one column for each that came in."""
        columns = self._columns_in_use
        return X if columns is None else X[:, columns.firsts]

    def _check_rows(self, X: Any, *, reset: bool) -> Any:
        """The rows as numbers, with the columns that were fitted."""
        columns = self._columns_in_use
        if columns is None:
            return validation.check_rows(self, X, reset=reset)
        validation.check_columns(self, X, reset=reset)
        return columns.encode(X)

    @property
    def _n_features_out(self) -> int:
        return self.means_.shape[1]

    def _check_new(self, X: Any) -> Any:
        X = self._check_rows(X, reset=False)
        if self._n_filling is None:
            validation.check_can_miss(self, has_holes(X))
        likelihood = FAMILIES[self.likelihood_]
        if likelihood.bounded:
            validation.check_support(self.likelihood_, likelihood, *extent(X))
        return X

    def _check_codes(self, X: Any) -> np.ndarray:
        codes = check_array(X, dtype=[np.float64, np.float32], input_name="X")
        if codes.shape[1] != len(self.means_[0]):
            raise ValueError(
                f"X has {codes.shape[1]} columns, but inverse_transform expects codes with "
                f"latent_dim={len(self.means_[0])} columns, as transform returns them."
            )
        row, column = divmod(int(np.abs(codes).argmax()), codes.shape[1])
        if abs(codes[row, column]) > FAR:
            raise ValueError(
                f"X has the code {codes[row, column]:.3g} in row {row}, column {column}, beyond "
                f"the {FAR:.0e} that can be decoded; codes of data lie within some tens of zero."
            )
        return codes

    def _decode(
        self, codes: np.ndarray, function: Callable[[Any, torch.Tensor], torch.Tensor]
    ) -> np.ndarray:
        return self._predictor.of_codes(codes, function, self._summary.n_features)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = True
        # predict_proba has a column for each of several clusters; scikit-learn's check of sparse
        # input reads that from here, whether or not the estimator is a classifier.
        tags.classifier_tags = ClassifierTags()
        tags.input_tags.positive_only = self.likelihood in ("poisson", "negative_binomial")
        return tags


def labels_last(order: np.ndarray, labels: np.ndarray | None) -> np.ndarray:
    """Rows in their order, but those with a label later, and the first of every class last.

    What is held out from the front takes no label that training needs, as long as it can.
    """
    if labels is None:
        return order
    needed = (labels[order] >= 0).astype(int)
    _, first = np.unique(labels[order], return_index=True)
    needed[first] *= 2
    return order[np.argsort(needed, kind="stable")]
