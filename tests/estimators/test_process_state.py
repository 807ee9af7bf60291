"""Fits in threads change nothing of the process, and give what they give one after another."""

import os
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from sklearn.datasets import make_blobs
from threadpoolctl import threadpool_info

from skvade import DECClustering, GMVAEClustering, VaDEClustering
from skvade.training import runtime
from skvade.training.initialisation import KMeansStart
from skvade.training.mixture_start import GaussianMixtureStart
from skvade.training.search import neighbours_in_cells
from tests.conftest import small

X, _ = make_blobs(120, centers=3, n_features=4, random_state=0)
ENCODER = torch.nn.Sequential(torch.nn.Linear(4, 16), torch.nn.ReLU(), torch.nn.Dropout(0.3))


def own(cls=VaDEClustering):
    """A small estimator with a network that draws."""
    return small(cls, encoder=ENCODER, init="auto")


def blas_threads():
    return [lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas"]


def state_of_the_process():
    # pytest keeps filters of its own; no fit may add to them or take them away.
    return list(warnings.filters), blas_threads(), torch.get_num_threads(), torch.get_rng_state()


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("cls", [VaDEClustering, GMVAEClustering, DECClustering])
def test_fits_in_threads_agree_with_fits_one_after_another(cls):
    """Four seeds at once, each network with dropout: the global generator would mix them up."""
    models = [own(cls).set_params(random_state=seed) for seed in (0, 0, 1, 2)]
    models[0].fit(X)  # what libraries import late may bring filters with it
    before = state_of_the_process()
    alone = [model.fit(X).predict_proba(X) for model in models]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda model: model.fit(X).predict_proba(X), models))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(alone[0], alone[1])
    assert not np.array_equal(alone[1], alone[2])
    for old, new in zip(before, state_of_the_process(), strict=True):
        assert torch.equal(old, new) if isinstance(old, torch.Tensor) else old == new


@pytest.mark.usefixtures("quiet")
def test_torchs_numbers_in_another_thread_are_its_own():
    torch.manual_seed(7)
    expected = [torch.rand(1).item() for _ in range(200)]
    torch.manual_seed(7)
    found, stop = [], threading.Event()

    def draw():
        while not stop.is_set() and len(found) < 200:
            found.append(torch.rand(1).item())

    thread = threading.Thread(target=draw)
    thread.start()
    own().fit(X)
    thread.join()
    stop.set()
    assert found == expected


@pytest.mark.parametrize("start", [GaussianMixtureStart(3, "full"), KMeansStart(3)])
@pytest.mark.parametrize("codes", ["all equal", "two different", "zeros of both signs"])
def test_starts_on_equal_codes_neither_warn_nor_touch_filters(start, codes):
    codes = {
        "all equal": np.ones((50, 2)),
        "two different": np.repeat([[0.0, 1.0], [5.0, 6.0]], 25, axis=0),
        "zeros of both signs": np.where(np.arange(100).reshape(50, 2) % 2, 0.0, -0.0),
    }[codes]
    before = list(warnings.filters)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        partition = start(codes, seed=0)
    assert len(np.unique(partition.labels)) <= len(np.unique(codes, axis=0))
    assert list(warnings.filters) == before


def test_neighbours_among_copies_are_found_without_a_warning():
    places = np.repeat(np.random.default_rng(0).normal(size=(4, 3)), 40, axis=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        neighbours, distances = neighbours_in_cells(places, 5, seed=0)
    assert not (neighbours == np.arange(160)[:, None]).any()
    np.testing.assert_allclose(distances, 0, atol=1e-6)


def test_library_code_touches_no_filters_and_no_global_generators():
    """What fits do under a lock is said in one file."""
    from tests.test_architecture import FILES

    texts = {path.name: path.read_text() for path in FILES}
    assert not [name for name, text in texts.items() if "catch_warnings" in text]
    assert not [name for name, text in texts.items() if "simplefilter" in text]
    assert [name for name, text in texts.items() if "threadpool" in text.lower()] == ["runtime.py"]
    assert [name for name, text in texts.items() if "fork_rng(" in text] == ["draws.py"]


def test_blas_is_put_back_whatever_thread_ends_first():
    """The one that came first leaves first: it must not set what the other still needs."""
    before = blas_threads()
    inside, leave = threading.Event(), threading.Event()
    seen = []

    def second():
        inside.wait()
        with runtime.on_one_blas_thread():
            seen.append(blas_threads())

    thread = threading.Thread(target=second)
    thread.start()
    with runtime.on_one_blas_thread():
        inside.set()
        leave.wait(0.05)
        seen.append(blas_threads())
    thread.join()
    assert seen == [[1] * len(before)] * 2
    assert blas_threads() == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_fork_in_the_middle_of_another_threads_call_does_not_wait():
    entered, leave = threading.Event(), threading.Event()

    def hold():
        with runtime.alone():
            entered.set()
            leave.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    entered.wait()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads
        child = os.fork()
    if child == 0:
        got = runtime._lock.acquire(blocking=False)
        os._exit(0 if got else 1)
    leave.set()
    thread.join()
    assert os.waitpid(child, 0)[1] == 0
