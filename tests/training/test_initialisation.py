"""Initial partitions, on codes whose truth is known."""

import numpy as np
import pytest
from scipy.special import logsumexp
from sklearn.cluster import DBSCAN, AgglomerativeClustering, KMeans
from sklearn.datasets import make_blobs, make_circles
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import make_pipeline

from skvade.metrics import mutual_information
from skvade.training import mixture_start
from skvade.training.initialisation import make_initialiser
from skvade.training.jury import Verdict
from skvade.training.mixture_start import GaussianMixtureStart
from tests.training.conftest import Fixed, equal_weights, nearest, numbered, one_hot

CODES, TRUTH = make_blobs(300, n_features=4, centers=3, random_state=0)
MEANS = np.stack([CODES[TRUTH == c].mean(0) for c in range(3)])


@pytest.mark.parametrize(
    "init",
    [
        "auto",
        "gmm",
        "k-means",
        TRUTH,
        TRUTH.tolist(),
        MEANS,
        KMeans(3, n_init=2),
        GaussianMixture(3),
        AgglomerativeClustering(3),
        make_pipeline(PCA(2), GaussianMixture(3)),
    ],
    ids=lambda init: str(init)[:20],
)
def test_every_kind_finds_separated_blobs_and_repeats_itself(init):
    initialiser = make_initialiser(init, 3, 4, 300, "full")
    partition = initialiser(CODES, seed=0)
    assert partition.labels.dtype == np.int64
    assert adjusted_rand_score(TRUTH, partition.labels) > 0.95
    np.testing.assert_array_equal(partition.labels, initialiser(CODES, seed=0).labels)


def test_random_starts_differ_by_seed_and_use_every_cluster():
    initialiser = make_initialiser("random", 3, 4, 300, "full")
    first, second = (initialiser(CODES, seed).labels for seed in (0, 1))
    assert not np.array_equal(first, second)
    assert set(first) == {0, 1, 2}


def log_likelihood(mixture, codes):
    x = codes - mixture.origin
    features = np.column_stack([np.ones(len(x)), x, mixture.shape.products(x)])
    return logsumexp(features @ mixture.weights.T, axis=1).mean()


def test_restarts_are_chosen_by_mutual_information_not_likelihood():
    """Without neighbours, on crowded blobs, whose likeliest restart does not decide most."""
    codes, _ = make_blobs(400, n_features=2, centers=9, cluster_std=1.7, random_state=8)
    start = GaussianMixtureStart(6, "full", n_restarts=8)
    rng = np.random.RandomState(3)
    fits = start.fit(codes, rng, 8)
    decided = max(fits, key=lambda fit: mutual_information(fit.predict_proba(codes)))
    likeliest = max(fits, key=lambda fit: log_likelihood(fit, codes))
    assert decided is not likeliest
    partition = start(codes, seed=3)
    np.testing.assert_array_equal(partition.labels, decided.predict(codes))
    assert partition.agreement < 1.0


def test_a_mixture_that_uses_every_cluster_ranks_first():
    start = GaussianMixtureStart(3, "full")
    undecided_on_three, decided_on_two = Verdict(3, 0.1, 0.5), Verdict(2, 0.69, 1.0)
    assert start._rank(undecided_on_three) > start._rank(decided_on_two)


def choose(monkeypatch, first, second, neighbours):
    """The choice between two mixtures."""
    both = [Fixed(first), Fixed(second)]
    monkeypatch.setattr(GaussianMixtureStart, "fit", lambda *args: both)
    start = GaussianMixtureStart(np.shape(first)[1], "full", n_restarts=2)
    return start(numbered(len(first)), 0, neighbours)


def test_even_clusters_lose_where_they_cut_neighbours_apart(monkeypatch):
    rows, rng = np.arange(300), np.random.default_rng(0)
    at_the_gap, even = one_hot((rows >= 180).astype(int)), one_hot((rows >= 150).astype(int))
    near = np.r_[rng.integers(0, 180, (180, 10)), rng.integers(180, 300, (120, 10))]
    assert mutual_information(even) > mutual_information(at_the_gap)
    np.testing.assert_array_equal(
        choose(monkeypatch, at_the_gap, even, None).labels, even.argmax(1)
    )
    chosen = choose(monkeypatch, at_the_gap, even, equal_weights(near))
    np.testing.assert_array_equal(chosen.labels, at_the_gap.argmax(1))
    assert chosen.agreement < 0.7


def test_mixtures_are_fitted_to_a_subsample_and_label_everything(monkeypatch):
    sizes = []
    fit = mixture_start.fit_mixtures
    monkeypatch.setattr(
        mixture_start, "fit_mixtures", lambda x, *args: sizes.append(len(x)) or fit(x, *args)
    )
    start = GaussianMixtureStart(3, "full", n_restarts=2, max_samples=100)
    assert len(start(CODES, seed=0).labels) == 300
    assert sizes == [100, 100]


def test_labels_do_not_depend_on_blocks(monkeypatch):
    codes, _ = make_blobs(500, n_features=3, centers=4, random_state=0)
    start = GaussianMixtureStart(4, "full", n_restarts=2)
    whole = start(codes, 0).labels
    monkeypatch.setattr("skvade.training.units.BLOCK_BYTES", 1 << 13)
    np.testing.assert_array_equal(start(codes, 0).labels, whole)


def test_neighbours_and_subsamples_give_a_partition_of_all_rows():
    codes, truth = make_blobs(900, n_features=2, centers=4, cluster_std=0.5, random_state=1)
    start = GaussianMixtureStart(4, "full", n_restarts=3, max_samples=200, max_judged=300)
    partition = start(codes, 0, equal_weights(nearest(codes)))
    assert adjusted_rand_score(truth, partition.labels) == 1.0
    assert partition.agreement == 1.0


def test_fewer_distinct_codes_than_clusters_are_no_error():
    codes = np.repeat([[0.0, 0.0], [1.0, 1.0]], 30, axis=0)
    partition = GaussianMixtureStart(3, "full")(codes, 0, equal_weights(nearest(codes)))
    assert adjusted_rand_score(np.repeat([0, 1], 30), partition.labels) > 0.5


def test_noise_goes_to_the_nearest_cluster():
    codes = np.vstack([CODES, MEANS.mean(0) + 30])
    clusterer = DBSCAN(eps=1.5)
    found = clusterer.fit_predict(codes)
    assert -1 in found
    labels = make_initialiser(clusterer, len(set(found)), 4, 301, "full")(codes, 0).labels
    assert labels.min() == 0
    assert adjusted_rand_score(found[found != -1], labels[found != -1]) == 1.0


def test_the_users_clusterer_is_not_changed():
    clusterer = KMeans(3)
    make_initialiser(clusterer, 3, 4, 300, "full")(CODES, seed=0)
    assert clusterer.random_state is None
    assert not hasattr(clusterer, "labels_")


def test_what_the_user_knows_stays_where_it_lies_apart():
    """Whatever its shape; a cut through the rings does not stay."""
    X, y = make_circles(400, factor=0.4, noise=0.03, random_state=0)
    neighbours = equal_weights(nearest(X))
    halves, one = (X[:, 0] > 0).astype(int), np.zeros(400, int)
    inits = {"rings": y, "found": DBSCAN(eps=0.2), "halves": halves, "one": one}
    starts = {name: make_initialiser(init, 2, 2, 400, "full") for name, init in inits.items()}
    stays = {name: start(X, 0, neighbours).stays for name, start in starts.items()}
    assert stays == {"rings": True, "found": True, "halves": False, "one": False}
    assert not any(start(X, 0).stays for start in starts.values())


def test_labels_can_be_restricted_to_rows():
    initialiser = make_initialiser(TRUTH, 3, 4, 300, "full")
    rows = np.array([5, 7, 200])
    np.testing.assert_array_equal(initialiser.restricted(rows)(CODES[rows], 0).labels, TRUTH[rows])


@pytest.mark.parametrize(
    "init, message",
    [
        (TRUTH[:10], "init has 10 labels; expected one for each of the 300 rows"),
        (TRUTH + 1, "from 0 to n_clusters - 1 = 2"),
        (TRUTH - 1, "from 0 to n_clusters - 1 = 2"),
        (TRUTH + 0.5, "integer labels"),
        (MEANS[:, :2], r"init has shape \(3, 2\).*\(3, 4\)"),
        (np.full((3, 4), np.nan), "NaN"),
    ],
)
def test_bad_arrays_are_named(init, message):
    with pytest.raises(ValueError, match=message):
        make_initialiser(init, 3, 4, 300, "full")


def test_a_clusterer_with_too_many_clusters_is_named():
    initialiser = make_initialiser(KMeans(5), 3, 4, 300, "full")
    with pytest.raises(ValueError, match=r"found 5 clusters, but n_clusters=3"):
        initialiser(CODES, 0)


def test_of_restarts_that_found_the_same_the_first_is_taken(monkeypatch):
    """The same clusters by other numbers have the same value but for rounding."""
    shares = np.random.default_rng(0).dirichlet(np.ones(3), 300)
    near = equal_weights(nearest(CODES))
    orders = ([0, 1, 2], [2, 0, 1], [1, 2, 0], [0, 2, 1], [2, 1, 0], [1, 0, 2])
    for order in orders:
        first, second = shares[:, order], shares
        chosen = choose(monkeypatch, first, second, near)
        np.testing.assert_array_equal(chosen.labels, first.argmax(1))
