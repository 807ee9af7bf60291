"""The classifiers that the accuracy benchmark compares with few labels of every class.

A method takes (X, y, seed, likelihood, shelf), where y is -1 for all other rows, to a fitted
classifier.

- `vade-classifier`, `m2-classifier`, `adgm`, `sdgm`, `auxiliary`: the classifiers by default.
- `m1+m2`: M2Classifier on the codes of VaDEClustering(n_clusters=1), in a pipeline;
  `m1+m2-clusters`: of VaDEClustering with as many clusters as classes and `adversarial_iter=24`.
- `vade-adversarial`, `m2-adversarial`, `adgm-adversarial`, `auxiliary-adversarial`,
  `m1+m2-adversarial`: the same with `adversarial_iter=24`, M2's on the codes.
- `vade-convolutional`, `auxiliary-convolutional`: the same with an encoder and a decoder of two
  convolutions each, for 28 by 28 pixels; the example's, with a stride of two in both.
- `m1+spreading`, `spreading`: scikit-learn's LabelSpreading on the same codes, and on the rows
  themselves, with 15 neighbours.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sklearn.pipeline import make_pipeline
from sklearn.semi_supervised import LabelSpreading
from torch import nn

from benchmarks.methods import shelved
from benchmarks.shelf import Shelf
from skvade import (
    ADGMClassifier,
    AuxiliaryTaskClassifier,
    M2Classifier,
    VaDEClassifier,
    VaDEClustering,
)

LABELS_A_CLASS = 10
LATENT_DIM = 10  # of the convolutional networks


def convolutional(seed: int) -> dict[str, Any]:
    """Parameters that give a classifier convolutional networks, of 28 by 28 pixels."""
    torch.manual_seed(seed)  # fits begin at the templates' weights
    features = (64, 7, 7)
    encoder = nn.Sequential(
        nn.Unflatten(1, (1, 28, 28)),
        nn.Conv2d(1, 32, kernel_size=4, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 64, kernel_size=4, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(math.prod(features), 256),
        nn.ReLU(),
    )
    decoder = nn.Sequential(
        nn.Linear(LATENT_DIM, math.prod(features)),
        nn.ReLU(),
        nn.Unflatten(1, features),
        nn.ConvTranspose2d(64, 32, kernel_size=4, stride=2, padding=1),
        nn.ReLU(),
        nn.ConvTranspose2d(32, 1, kernel_size=4, stride=2, padding=1),
        nn.Flatten(),
    )
    return {"encoder": encoder, "decoder": decoder, "latent_dim": LATENT_DIM}


def hide_labels(y: np.ndarray, seed: int) -> np.ndarray:
    """The labels of a few rows of every class, drawn by the seed, and -1 elsewhere."""
    rng = np.random.RandomState(seed)
    hidden = np.full(len(y), -1)
    for name in np.unique(y):
        rows = rng.choice(np.flatnonzero(y == name), LABELS_A_CLASS, replace=False)
        hidden[rows] = name
    return hidden


def _classifier(
    cls: type, networks: Callable[[int], dict[str, Any]] = lambda seed: {}, **parameters: Any
) -> Any:
    def method(X: np.ndarray, y: np.ndarray, seed: int, likelihood: str, shelf: Shelf) -> Any:
        estimator = cls(likelihood=likelihood, random_state=seed, **networks(seed), **parameters)
        return shelved(estimator, shelf).fit(X, y)

    return method


def _on_codes(classifier: Callable[[int], Any], n_clusters: int = 1, **parameters: Any) -> Any:
    def method(X: np.ndarray, y: np.ndarray, seed: int, likelihood: str, shelf: Shelf) -> Any:
        first = VaDEClustering(n_clusters, likelihood=likelihood, random_state=seed, **parameters)
        return make_pipeline(shelved(first, shelf), classifier(seed)).fit(X, y)

    return method


def _spreading(seed: int) -> Any:
    return LabelSpreading(kernel="knn", n_neighbors=15)


CLASSIFIERS = {
    "vade-classifier": _classifier(VaDEClassifier),
    "m2-classifier": _classifier(M2Classifier),
    "adgm": _classifier(ADGMClassifier),
    "sdgm": _classifier(ADGMClassifier, skip=True),
    "auxiliary": _classifier(AuxiliaryTaskClassifier),
    "m1+m2": _on_codes(lambda seed: M2Classifier(random_state=seed)),
    "m1+m2-clusters": _on_codes(
        lambda seed: M2Classifier(random_state=seed), n_clusters=10, adversarial_iter=24
    ),
    "vade-adversarial": _classifier(VaDEClassifier, adversarial_iter=24),
    "m2-adversarial": _classifier(M2Classifier, adversarial_iter=24),
    "adgm-adversarial": _classifier(ADGMClassifier, adversarial_iter=24),
    "auxiliary-adversarial": _classifier(AuxiliaryTaskClassifier, adversarial_iter=24),
    "m1+m2-adversarial": _on_codes(
        lambda seed: M2Classifier(random_state=seed, adversarial_iter=24)
    ),
    "vade-convolutional": _classifier(VaDEClassifier, convolutional, adversarial_iter=24),
    "auxiliary-convolutional": _classifier(
        AuxiliaryTaskClassifier, convolutional, adversarial_iter=24
    ),
    "m1+spreading": _on_codes(_spreading),
    "spreading": lambda X, y, seed, likelihood, shelf: _spreading(seed).fit(X, y),
}
