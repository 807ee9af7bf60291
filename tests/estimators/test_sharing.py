"""The same numbers in threads, in other processes, after a fork, and beside other fits."""

import multiprocessing
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest
import torch
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning

from skvade import VaDEClustering

X, _ = load_iris(return_X_y=True)
ESTIMATOR = VaDEClustering(
    3,
    hidden_layer_sizes=(16,),
    latent_dim=3,
    pretrain_iter=6,
    max_iter=4,
    precision="float32",
    random_state=0,
)


def fit(seed):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = clone(ESTIMATOR).set_params(random_state=seed).fit(X)
    return model.predict_proba(X), model.history_[-1]["loss"]


@pytest.fixture(scope="module")
def serial():
    return [fit(seed) for seed in range(4)]


def in_threads():
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(fit, range(4)))


def in_loky_processes():
    return Parallel(n_jobs=2)(delayed(fit)(seed) for seed in range(4))


def after_a_fork():
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        return list(pool.map(fit, range(4)))


WAYS = [in_threads, in_loky_processes]
# A process with several threads of OpenMP must not fork, as with scikit-learn.
if sys.platform.startswith("linux") and torch.get_num_threads() == 1:
    WAYS.append(after_a_fork)


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.parametrize("way", WAYS)
def test_fits_elsewhere_are_those_of_a_serial_process(way, serial):
    # Workers get fewer threads, and another number of threads changes the order of sums.
    tolerance = 0 if torch.get_num_threads() == 1 else 1e-4
    for (proba, loss), (same_proba, same_loss) in zip(serial, way(), strict=True):
        np.testing.assert_allclose(proba, same_proba, rtol=tolerance, atol=tolerance)
        assert loss == pytest.approx(same_loss, rel=tolerance, abs=tolerance)


def test_eight_threads_predict_with_one_estimator():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = clone(ESTIMATOR).fit(X)
    before = {name: t.clone() for name, t in model.module_.state_dict().items()}
    attributes = set(vars(model))

    def numbers(part):
        rows = X[part % 3 :: 3]
        drawn, _ = model.sample(20, random_state=part)
        return model.predict_proba(rows), model.transform(rows), model.score_samples(rows), drawn

    alone = [numbers(part) for part in range(24)]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(numbers, range(24)))
    for one, other in zip(alone, together, strict=True):
        for ours, theirs in zip(one, other, strict=True):
            np.testing.assert_array_equal(ours, theirs)
    assert set(vars(model)) == attributes
    for name, tensor in model.module_.state_dict().items():
        assert torch.equal(tensor, before[name])
