"""What a fit finds out before it trains: likelihood, units, components, neighbours' rows, start."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from skvade.estimators import validation
from skvade.estimators.facts import Facts
from skvade.nn.mixed import FAMILIES, MIXED
from skvade.nn.summary import DataSummary, ModelShape
from skvade.training.batches import Rows
from skvade.training.dealing import Dealt, deal
from skvade.training.events import HeldOut, Listener, Settled
from skvade.training.initialisation import LabelledStart, make_initialiser
from skvade.training.initialiser import Initialiser
from skvade.training.latent_classes import Table
from skvade.training.neighbours import Components, principal_components
from skvade.training.peers import Peers
from skvade.training.runtime import Runtime
from skvade.training.schedules import auto_batch_size, is_small
from skvade.training.units import Units, measure_units, n_observed, summarize

N_COMPONENTS = 40
STARTS, MANY_STARTS = 24, 64  # mixtures; a small table's take milliseconds


class PreparingMixin:
    """Steps from checked rows to `Facts`, and to the rows that are trained on."""

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
        if likelihood.standardizes and warm:
            units = self._units
        elif likelihood.standardizes:
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
        dealt = self._deal(rows, components, seed, runtime)
        sizes = self._fitted_sizes() if warm else self._sizes(components, small)
        shape = ModelShape(n_clusters, name, summary, **sizes)
        dealt_from = peers.concatenate(dealt.numbers)
        table = None
        starts = isinstance(self.init, str) and self.init == "auto" and not warm
        if columns is not None and columns.mostly_categories and starts:
            table = Table.of(Rows(X, units=units), likelihood(summary))
            table = table.dealt(kept, dealt_from, peers)
        initialiser = self._make_initialiser(shape, n_samples, small, peers, table)
        if labels is not None:
            initialiser = LabelledStart(initialiser, labels, n_clusters)
        initialiser = initialiser.restricted(kept).of_all(peers)
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

    def _deal(
        self, rows: Rows, components: Components | None, seed: int, runtime: Runtime
    ) -> Dealt:
        """The rows that this process trains on, placed where it trains."""
        peers = runtime.peers
        graph = self.neighbor_weight or self._counts_clusters
        dealt = deal(rows, components if graph else None, seed, peers)
        sizes = peers.collect(len(dealt.rows))
        with peers.alike():
            if min(sizes) < 2:
                raise ValueError(
                    f"Dealt among {peers.size} processes, {sum(sizes)} rows leave {min(sizes)} to "
                    "one of them, and each needs two; start fewer processes."
                )
        return replace(dealt, rows=runtime.place(dealt.rows))

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
        n_kept = n_samples - n_held_out
        of_all = runtime.peers.total(n_kept)
        needed = max(n_clusters, 2)
        with runtime.peers.together():
            if n_kept < 2 or of_all < needed:
                several = runtime.peers.size > 1
                in_all = f" ({of_all} in all; each process needs two)" if several else ""
                raise ValueError(
                    f"early_stopping holds out {n_held_out} of {n_samples} rows, which leaves "
                    f"{n_kept}{in_all}, and training with {self._count}={n_clusters} "
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
            # A warm start has no partition to begin at, and may have other rows than an array.
            init = self.init if self._warm_model() is None else "auto"
            return make_initialiser(init, *size, MANY_STARTS if small else STARTS, table)


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
