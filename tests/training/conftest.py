"""A model that has nothing to do with clustering, one phase of training it, and given mixtures."""

import numpy as np
import torch
from sklearn.neighbors import NearestNeighbors
from torch import nn

from skvade.objectives.base import Objective
from skvade.training.batches import Rows
from skvade.training.events import History
from skvade.training.neighbourhood import Neighbourhood
from skvade.training.run import Run
from skvade.training.runtime import Runtime
from skvade.training.trainer import Optimise

CPU = Runtime(torch.device("cpu"))
X = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
TARGET = torch.tensor([1.0, -2.0, 0.5])


class LeastSquares(Objective):
    """(w'x - target'x)^2, split in two named terms."""

    def __call__(self, model, batch, generator):
        error = model(batch.x).squeeze(-1) - batch.x @ TARGET
        return {"half": 0.5 * error.square().mean(), "rest": 0.5 * error.square().mean()}


class Broken(LeastSquares):
    """A loss that is NaN from a given call on, as often as told."""

    def __init__(self, first, times):
        self.calls, self.first, self.times = 0, first, times

    def __call__(self, model, batch, generator):
        self.calls += 1
        terms = super().__call__(model, batch, generator)
        if self.calls >= self.first and self.times > 0:
            self.times -= 1
            terms["half"] = terms["half"] * float("nan")
        return terms


class Regression(nn.Linear):
    """Says how much room its rows need, as models do."""

    def row_bytes(self, n_features):
        return 8 * n_features


def regression():
    torch.manual_seed(0)
    return Regression(3, 1)


def run_phase(objective=None, listeners=(), model=None, seed=0, **kwargs):
    objective = objective or LeastSquares()
    settings = {"n_steps": 600, "batch_size": 32, "learning_rate": 0.05, **kwargs}
    run = Run(model or regression(), Rows(X), CPU, seed, [History()])
    phase = Optimise("fit", lambda run: objective, listeners=listeners, **settings)
    return run.go([phase])


class Fixed:
    """A mixture of given assignments (n_samples, n_clusters), by the first code."""

    def __init__(self, proba):
        self.proba = np.asarray(proba, float)

    def predict(self, codes):
        return self.predict_proba(codes).argmax(1)

    def predict_proba(self, codes):
        return self.proba[codes[:, 0].astype(int)]


def numbered(n_rows):
    return np.stack([np.arange(n_rows), np.zeros(n_rows)], 1).astype(float)


def one_hot(labels):
    return np.eye(labels.max() + 1)[labels]


def nearest(codes, n_neighbors=10):
    return NearestNeighbors(n_neighbors=n_neighbors).fit(codes).kneighbors()[1]


def equal_weights(neighbours):
    """The neighbourhood in which all neighbours of a row weigh the same."""
    share = np.full(neighbours.shape, 1 / neighbours.shape[1])
    return Neighbourhood(neighbours, share.cumsum(1))
