"""What the phases between the gradient steps leave behind."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from sklearn.datasets import make_blobs
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score

from skvade import DECClustering, VaDEClustering
from skvade.training import phases
from skvade.training.batches import Rows
from skvade.training.initialisation import LabelsStart
from skvade.training.neighbours import DrawnNeighbours, principal_components
from skvade.training.peers import ALONE
from skvade.training.phases import FindNeighbours, Initialise, KeepClusters
from skvade.training.run import Run
from skvade.training.runtime import Runtime
from tests.conftest import random_model, small

X = np.random.default_rng(0).normal(size=(80, 4))


@pytest.fixture
def run():
    rows = Rows(X, dtype=np.float64)
    return Run(random_model(), rows, Runtime(torch.device("cpu"), None), seed=0)


def decoded(run):
    with torch.no_grad():
        return run.model.decode(run.model.code(torch.from_numpy(X)))


def codes(run):
    with torch.no_grad():
        return run.model.code(torch.from_numpy(X)).numpy()


def find(run, n_neighbors, n_components=40, **options):
    """Run the phase with as many components as are there."""
    components = principal_components(run.rows, run.model.view, n_components, seed=0)
    FindNeighbours(n_neighbors, components, **options).run(run, seed=0)


def fifth_distance(z):
    apart = np.linalg.norm(z[:, None] - z, axis=-1)
    return np.median(np.sort(apart, 1)[:, 5])


@pytest.mark.parametrize("n_components", [0, 2, 40])
def test_neighbours_come_to_unit_distance_and_nothing_else_changes(run, n_components):
    before = decoded(run)
    find(run, 5, n_components)
    z = codes(run)
    last = run.handover.graph.neighbours[:, -1]
    assert np.median(np.linalg.norm(z - z[last], axis=1)) == pytest.approx(1)
    if n_components == 0:
        assert fifth_distance(z) == pytest.approx(1)
    torch.testing.assert_close(decoded(run), before)
    assert run.handover.scale == 1.0


def test_neighbours_are_near_in_codes_and_in_what_the_encoder_sees():
    counts = np.random.default_rng(1).poisson([1.0, 5.0, 20.0, 100.0], (80, 4)).astype(float)
    rows = Rows(counts, dtype=np.float64)
    run = Run(random_model("poisson"), rows, Runtime(torch.device("cpu"), None), seed=0)
    with torch.no_grad():
        z = run.model.code(torch.from_numpy(counts)).numpy()
    seen = np.log1p(counts)
    share = z.var(0).sum() / seen.var(0).sum()
    apart = cdist(z, z) ** 2 + share * cdist(seen, seen) ** 2 + np.diag(np.full(80, np.inf))
    find(run, 5)
    np.testing.assert_array_equal(run.handover.graph.neighbours, apart.argsort(1)[:, :5])


def test_signal_is_whole_where_all_components_are_sought_and_less_with_few(run):
    signals = []
    for n_components in (0, 40, 1):
        find(run, 5, n_components)
        signals.append(run.handover.graph.signal)
    assert signals[0] == 1
    assert signals[1] == pytest.approx(1)
    assert signals[2] < 0.9


def test_scale_leads_back_to_the_units_of_the_embedding(run):
    find(run, 5)
    embedding = codes(run)
    Initialise(LabelsStart(np.arange(80) % 3)).run(run, seed=0)
    np.testing.assert_allclose(run.handover.scale * codes(run), embedding)


def test_what_a_model_has_is_kept_unless_labels_say_otherwise(run):
    with torch.no_grad():
        proba = run.model.assign(torch.from_numpy(X)).numpy()
    partition = proba.argmax(1)
    known = np.where(np.arange(80) % 3, -1, partition)
    for labels in (None, known):
        KeepClusters(labels).run(run, seed=0)
        assert run.handover.stays
        np.testing.assert_array_equal(run.handover.partition, partition)
    known[30] = (known[30] + 1) % 3
    KeepClusters(known).run(run, seed=0)
    assert not run.handover.stays


@pytest.mark.parametrize("n_components", [1, 3])
def test_the_start_sees_the_leading_components(run, n_components):
    """At most as many as codes have dimensions."""
    seen = []

    class Noted(LabelsStart):
        def __call__(self, codes, seed, neighbours=None):
            seen.append(neighbours.places)
            return super().__call__(codes, seed, neighbours)

    find(run, 5)
    components = principal_components(run.rows, run.model.view, n_components, seed=0)
    for given in (None, components):
        Initialise(Noted(np.arange(80) % 3), given).run(run, seed=0)
    assert seen[0] is None
    expected = PCA(n_components).fit_transform(X)[:, : codes(run).shape[1]]
    np.testing.assert_allclose(np.abs(seen[1]), np.abs(expected), atol=1e-5)


def test_of_many_rows_evenly_spaced_ones_show_the_noise(run, monkeypatch):
    monkeypatch.setattr(phases, "MAX_CALIBRATED_ROWS", 30)
    with torch.no_grad():
        phases._calibrate(run.model, run.rows, ALONE)
    expected = (decoded(run) - torch.from_numpy(X))[::3].square().mean()
    assert float(run.model.likelihood.variance.detach()) == pytest.approx(float(expected), rel=1e-3)


def test_neighbours_of_a_warm_start_leave_the_latent_space_alone(run):
    before, run.handover.scale = codes(run), 7.0
    find(run, 5, rescale=False)
    np.testing.assert_array_equal(codes(run), before)
    assert run.handover.scale == 7.0


@pytest.mark.parametrize("rows", [X[:2], np.ones((6, 4))], ids=["two rows", "equal rows"])
def test_few_or_equal_rows_have_neighbours_too(rows, generator):
    run = Run(random_model(), Rows(rows), Runtime(torch.device("cpu"), None), seed=0)
    run.model.float()
    find(run, 15)
    near = DrawnNeighbours(run.rows, run.handover.graph)(torch.arange(len(rows)), generator)
    assert near.x.shape == rows.shape
    assert (near.index != torch.arange(len(rows))).all()
    assert all(p.isfinite().all() for p in run.model.parameters())


@pytest.mark.parametrize("cls", [VaDEClustering, DECClustering])
def test_clusters_start_at_a_sample_whatever_the_order_of_rows(cls, monkeypatch):
    monkeypatch.setattr(phases, "MAX_STARTED_ROWS", 400)
    monkeypatch.setattr(phases, "FEWEST_STARTED", 20)
    sizes = [397] * 4 + [12]  # of the last one no row may be drawn
    X, y = make_blobs(sizes, n_features=8, cluster_std=0.5, shuffle=False, random_state=0)
    order = np.r_[np.arange(1588).reshape(4, 397).T.ravel(), np.arange(1588, 1600)]  # a period of 4
    model = small(cls, n_clusters=5).fit(X[order])
    assert adjusted_rand_score(y[order], model.labels_) > 0.95
