"""The methods that the accuracy benchmark compares, all on the same rows and the same trainer.

A method takes (X, n_clusters, seed, likelihood, shelf) to something fitted, with `labels_`,
`predict` and, where it has codes, `transform`. None sees a label.

- `kmeans`, `gmm`: scikit-learn's on X; 10 restarts each, GaussianMixture "diag".
- `ae+kmeans`, `ae+gmm`: on the codes of our autoencoder, trained as in skvade's first phase.
- `vae+gmm`: on the codes of a variational autoencoder with a standard normal prior, of the same
  network, trained for as many steps as skvade's phases have together, at the bound's rate.
- `vade-published`: diagonal prior, mixture start by likelihood, q(c|x) = p(c|z) at a drawn z, Adam
  at 2e-3 falling by a tenth every ten epochs, 25 epochs (the paper has 300); its pretraining was
  never released, ours stands in.
- `vade`: VaDEClustering by default; `adversarial`: with `adversarial_iter=24`.
- `gmvae`, `m2`, `dec`, `idec`, `depict`, `dcn`: the siblings by default; `...-alone`: without
  neighbours, as in their papers.
- `without-...`: the default with one factor removed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.cluster import KMeans
from sklearn.mixture import GaussianMixture

from benchmarks.shelf import Shelf
from skvade import (
    DCNClustering,
    DECClustering,
    DEPICTClustering,
    GMVAEClustering,
    IDECClustering,
    M2Clustering,
    VaDEClustering,
)
from skvade.estimators.facts import Facts
from skvade.estimators.recipe import MakeEncoded
from skvade.nn.autoencoder import Encoding, draw
from skvade.objectives.base import Batch, EncodedObjective, Terms
from skvade.objectives.vade import NegativeELBO, entropy
from skvade.training.conditions import always
from skvade.training.m_step import MStep
from skvade.training.neighbours import signal_share
from skvade.training.phases import FindNeighbours, Initialise
from skvade.training.run import Phase, Run
from skvade.training.trainer import Optimise

PUBLISHED_EPOCHS = 25


class SampledNegativeELBO(EncodedObjective):
    """The bound with the paper's q(c|x) = p(c|z), z drawn from q(z|x) (its Eq. 16)."""

    def terms(
        self, model: Any, batch: Batch, encoding: Encoding, generator: torch.Generator
    ) -> Terms:
        mean, log_variance, _ = encoding
        z = draw(mean, log_variance, generator)
        q = model.mixture.log_joint(z).log_softmax(-1)
        joint = model.mixture.expected_log_joint(mean, log_variance.exp())
        expected = (q.exp() * (joint - q)).sum(-1)
        return {
            "reconstruction": -model.likelihood.log_prob(batch.x, model.decode(z)).mean(),
            "kl": -(expected + entropy(log_variance)).mean(),
        }


class LikelihoodMixture(ClusterMixin, BaseEstimator):
    """The best of 16 Gaussian mixtures by likelihood, the usual choice."""

    def __init__(self, n_clusters: int, covariance_type: str = "full", random_state: Any = None):
        self.n_clusters = n_clusters
        self.covariance_type = covariance_type
        self.random_state = random_state

    def fit(self, X: np.ndarray, y: None = None) -> LikelihoodMixture:
        """Fit on at most 12,500 rows."""
        rng = np.random.RandomState(self.random_state)
        sample = X if len(X) <= 12_500 else X[rng.choice(len(X), 12_500, replace=False)]
        self.mixture_ = GaussianMixture(
            self.n_clusters,
            covariance_type=self.covariance_type,
            n_init=16,
            reg_covar=1e-3 * sample.var(),
            random_state=rng,
        ).fit(sample)
        self.labels_ = self.mixture_.predict(X)
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Cluster of each row."""
        return self.mixture_.predict(X)


# Networks, codes and rate of the paper, which the methods that it is compared with have too.
PAPER: dict[str, Any] = {
    "hidden_layer_sizes": (500, 500, 2000),
    "latent_dim": 10,
    "linear_path": False,
    "learning_rate": 2e-3,
}


def last_gradient_phase(phases: list[Phase]) -> Optimise:
    """The phase that `max_iter` speaks of."""
    return next(p for p in reversed(phases) if isinstance(p, Optimise))


class Autoencoder(VaDEClustering):
    """skvade's first phase alone: `transform` gives the codes of a plain autoencoder."""

    def _make_phases(self, facts: Facts) -> list[Phase]:
        return super()._make_phases(facts)[:1]


class VariationalAutoencoder(VaDEClustering):
    """A variational autoencoder with a standard normal prior, for the steps of all our phases."""

    def _make_phases(self, facts: Facts) -> list[Phase]:
        phases = super()._make_phases(facts)
        n_steps = sum(phase.n_steps for phase in phases if isinstance(phase, Optimise))
        networks = lambda model: [  # noqa: E731
            p
            for part in (model.encoder, model.decoder, model.likelihood)
            for p in part.parameters()
        ]
        objective = lambda run: NegativeELBO()  # noqa: E731
        return [
            replace(
                phases[0],
                n_steps=n_steps,
                objective=objective,
                learning_rate=last_gradient_phase(phases).learning_rate,
                parameters=networks,
            )
        ]


class PublishedVaDE(VaDEClustering):
    """VaDE as its authors describe it, from our autoencoder."""

    def _make_phases(self, facts: Facts) -> list[Phase]:
        phases = super()._make_phases(facts)
        per_epoch = max(1, facts.n_rows // facts.batch_size)
        train = replace(
            last_gradient_phase(phases),
            objective=lambda run: SampledNegativeELBO(),
            n_steps=PUBLISHED_EPOCHS * per_epoch,
            learning_rate=2e-3,
            schedule=lambda progress: 0.9 ** int(progress * PUBLISHED_EPOCHS / 10),
        )
        start = next(phase for phase in phases if isinstance(phase, Initialise))
        return [phases[0], start, train]


class OnCodes:
    """A clusterer on the codes of a network."""

    def __init__(self, network: Any, clusterer: Any):
        self.network = network
        self.clusterer = clusterer

    def fit(self, X: np.ndarray) -> OnCodes:
        """Train the network, then the clusterer."""
        self.labels_ = self.clusterer.fit_predict(self.network.fit(X).transform(X))
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Cluster of each row."""
        return self.clusterer.predict(self.transform(X))

    def transform(self, X: np.ndarray) -> np.ndarray:
        """Codes."""
        return self.network.transform(X)


class WithoutHold(VaDEClustering):
    """No steps with held clusters; what stays is taught all the same."""

    def _make_phases(self, facts: Facts) -> list[Phase]:
        phases = super()._make_phases(facts)
        held = (phase for phase in phases if isinstance(phase, Optimise) and phase.name == "hold")
        taught = {id(phase): phase.instead for phase in held}
        kept = (taught.get(id(phase), phase) for phase in phases)
        return [phase for phase in kept if phase is not None]


class WithoutRescaling(VaDEClustering):
    """The latent space keeps the scale that it has before the mixture."""

    def fit(self, X: Any, y: Any = None) -> WithoutRescaling:
        """Fit with a spread of one, whatever it is."""
        with patch("skvade.training.phases._spread", lambda codes, labels: 1.0):
            return super().fit(X, y)


class WithoutPush(VaDEClustering):
    """Neighbours stay where they are in data space."""

    def _near(self, objective: Callable[[Run], Any]) -> Callable[[Run], Any]:
        near = super()._near(objective)

        def in_place(run: Run) -> Any:
            found = near(run)
            found.push = 0.0
            return found

        return in_place


class WithoutClosedForm(VaDEClustering):
    """The last phase draws q(c|x) as the paper does."""

    def _make_phases(self, facts: Facts) -> list[Phase]:
        phases = super()._make_phases(facts)
        sampled = self._near(self._beside_partition(lambda run: SampledNegativeELBO(), facts))
        last = last_gradient_phase(phases)
        return [replace(p, objective=sampled) if p is last else p for p in phases]


class WithoutMStep(VaDEClustering):
    """The mixture stays where the last gradient phase leaves it."""

    def _make_phases(self, facts: Facts) -> list[Phase]:
        return [phase for phase in super()._make_phases(facts) if not isinstance(phase, MStep)]


class WithoutPlateau(VaDEClustering):
    """Phases of the autoencoder use up their budgets."""

    def _make_phases(self, facts: Facts) -> list[Phase]:
        names = ("pretrain", "neighbours")
        return [
            replace(phase, listeners=()) if phase.name in names else phase
            for phase in super()._make_phases(facts)
        ]


@dataclass(frozen=True)
class _FindAmongCodes(FindNeighbours):
    """Neighbours in the codes alone, of which the push is told all the same how much is noise."""

    def run(self, run: Run, seed: int) -> None:
        FindNeighbours(self.n_neighbors, None, self.rescale).run(run, seed)
        graph, peers = run.handover.need_graph(), run.runtime.peers
        signal = signal_share(run.rows, graph, self.components, seed, peers)
        run.handover.graph = replace(graph, signal=signal)


class WithoutComponents(VaDEClustering):
    """Neighbours are near in the codes alone."""

    def _make_phases(self, facts: Facts) -> list[Phase]:
        return [
            _FindAmongCodes(**vars(phase)) if isinstance(phase, FindNeighbours) else phase
            for phase in super()._make_phases(facts)
        ]


class WithoutView(VaDEClustering):
    """Small tables' first clusters come from the codes alone, as those of large ones."""

    def _make_phases(self, facts: Facts) -> list[Phase]:
        return [
            replace(phase, components=None) if isinstance(phase, Initialise) else phase
            for phase in super()._make_phases(facts)
        ]


class WithoutSmall(VaDEClustering):
    """Small tables have the phases and rates of large ones; sizes and starts stay."""

    def _make_phases(self, facts: Facts) -> list[Phase]:
        view = facts.components if facts.small else None
        return [
            replace(phase, components=view) if isinstance(phase, Initialise) else phase
            for phase in super()._make_phases(replace(facts, small=False))
        ]


class WithoutTeaching(VaDEClustering):
    """A first partition that no mixture of the codes has is held and trained on like any other."""

    def _make_phases(self, facts: Facts) -> list[Phase]:
        phases = [
            replace(phase, when=always, instead=None) if phase.name == "hold" else phase
            for phase in super()._make_phases(facts)
        ]
        return [
            replace(phase, was_learned=lambda run: False) if isinstance(phase, MStep) else phase
            for phase in phases
        ]

    def _beside_partition(self, objective: MakeEncoded, facts: Facts) -> MakeEncoded:
        return objective


Method = Callable[[np.ndarray, int, int, str, Shelf], Any]


def shelved(estimator: Any, shelf: Shelf) -> Any:
    """The estimator, which takes its first phases from the shelf, or puts them there."""
    make_phases = estimator._make_phases
    estimator._make_phases = lambda facts: shelf.share(make_phases(facts))
    return estimator


def _kmeans(X: np.ndarray, k: int, seed: int, likelihood: str, shelf: Shelf) -> Any:
    return KMeans(k, n_init=10, random_state=seed).fit(X)


def _gmm(X: np.ndarray, k: int, seed: int, likelihood: str, shelf: Shelf) -> Any:
    mixture = GaussianMixture(
        k, covariance_type="diag", n_init=10, reg_covar=1e-3 * float(X.var()), random_state=seed
    ).fit(X)
    mixture.labels_ = mixture.predict(X)
    return mixture


def _on_codes(network: type, clusterer: Callable[[int, int], Any]) -> Method:
    def method(X: np.ndarray, k: int, seed: int, likelihood: str, shelf: Shelf) -> Any:
        # One component: the mixture of these networks is not used.
        body = network(1, likelihood=likelihood, random_state=seed, **PAPER)
        return OnCodes(shelved(body, shelf), clusterer(k, seed)).fit(X)

    return method


def _estimator(cls: type, **parameters: Any) -> Method:
    def method(X: np.ndarray, k: int, seed: int, likelihood: str, shelf: Shelf) -> Any:
        given = {n: v(k) if callable(v) else v for n, v in parameters.items()}
        estimator = cls(k, likelihood=likelihood, random_state=seed, **given)
        return shelved(estimator, shelf).fit(X)

    return method


def _kmeans_on_codes(k: int, seed: int) -> Any:
    return KMeans(k, n_init=10, random_state=seed)


def _mixture_on_codes(k: int, seed: int) -> Any:
    return LikelihoodMixture(k, random_state=seed)


METHODS: dict[str, Method] = {
    "kmeans": _kmeans,
    "gmm": _gmm,
    "ae+kmeans": _on_codes(Autoencoder, _kmeans_on_codes),
    "ae+gmm": _on_codes(Autoencoder, _mixture_on_codes),
    "vae+gmm": _on_codes(VariationalAutoencoder, _mixture_on_codes),
    "vade-published": _estimator(
        PublishedVaDE,
        covariance_type="diag",
        neighbor_weight=0.0,
        init=lambda k: LikelihoodMixture(k, "diag"),
        **PAPER,
    ),
    "vade": _estimator(VaDEClustering),
    "adversarial": _estimator(VaDEClustering, adversarial_iter=24),
    "gmvae": _estimator(GMVAEClustering),
    "m2": _estimator(M2Clustering),
    "dec": _estimator(DECClustering),
    "depict": _estimator(DEPICTClustering),
    "idec": _estimator(IDECClustering),
    "dcn": _estimator(DCNClustering),
    **{
        f"{name}-alone": _estimator(cls, neighbor_weight=0.0)
        for name, cls in (
            ("gmvae", GMVAEClustering),
            ("m2", M2Clustering),
            ("dec", DECClustering),
            ("idec", IDECClustering),
            ("dcn", DCNClustering),
        )
    },
    "paper-networks": _estimator(VaDEClustering, **PAPER),
    "wide": _estimator(VaDEClustering, hidden_layer_sizes=(500, 500, 2000)),
    "linear": _estimator(VaDEClustering, hidden_layer_sizes=()),
    "without-linear-path": _estimator(VaDEClustering, linear_path=False),
    "without-m-step": _estimator(WithoutMStep),
    "without-plateau": _estimator(WithoutPlateau),
    "without-neighbours": _estimator(VaDEClustering, neighbor_weight=0.0),
    "without-push": _estimator(WithoutPush),
    "without-merging": _estimator(VaDEClustering, init="gmm"),
    "without-information": _estimator(VaDEClustering, init=LikelihoodMixture),
    "without-full": _estimator(VaDEClustering, covariance_type="diag"),
    "without-closed-form": _estimator(WithoutClosedForm),
    "without-hold": _estimator(WithoutHold),
    "without-rescaling": _estimator(WithoutRescaling),
    "without-components": _estimator(WithoutComponents),
    "without-view": _estimator(WithoutView),
    "without-small": _estimator(WithoutSmall),
    "without-teaching": _estimator(WithoutTeaching),
}
