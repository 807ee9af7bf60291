"""Data that break other programs: finite results, or an error that says what to do."""

from functools import partial

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone, is_classifier
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score

from skvade import DCNClustering, GMVAEClustering, VaDEClustering
from tests import conftest
from tests.conftest import FAMILY

RNG = np.random.default_rng(0)
NOISE = RNG.normal(size=(30, 4))
BLOBS, TRUTH = make_blobs(200, centers=3, n_features=4, cluster_std=0.5, random_state=0)

UGLY = {
    "constant": np.full((30, 4), 7.0),
    "zeros": np.zeros((30, 4)),
    "one feature constant": NOISE * [1, 1, 0, 1],
    "repeated rows": np.repeat(NOISE[:3], 10, axis=0),
    "one feature": NOISE[:, :1],
    "two rows": NOISE[:2],
    "tiny": NOISE * 1e-30,
    "huge": NOISE * 1e30,
    "tiny beside huge": NOISE * [1e-30, 1, 1e10, 1e30],
    "far from zero": NOISE + 1e12,
    "heavy tails": RNG.standard_cauchy((30, 4)) ** 3,
    "one outlier": np.concatenate([NOISE, [[1e20] * 4]]),
    "integers": RNG.integers(-5, 5, (30, 4)),
    "booleans": NOISE > 0,
    "float16": NOISE.astype(np.float16),
    "large float16": (NOISE * 1e4).astype(np.float16),
    "empty sparse rows": sp.csr_array(NOISE * (NOISE > 1)),
    "all zero, sparse": sp.csr_array((30, 4)),
    "smallest numbers": np.full((30, 4), 5e-324) * RNG.integers(0, 3, (30, 4)),
}


small = partial(
    conftest.small,
    n_clusters=2,
    hidden_layer_sizes=(8,),
    latent_dim=6,
    pretrain_iter=3,
    max_iter=3,
)
pytestmark = pytest.mark.usefixtures("quiet")


def results(model, X):
    found = {n: getattr(model, n)(X) for n in ("predict_proba", "transform")}
    found["decoded"] = model.inverse_transform(found["transform"])
    found |= {name: getattr(model, name) for name in ("cluster_centers_", "means_")}
    if hasattr(model, "sample"):
        found |= {"scores": model.score_samples(X), "drawn": model.sample(9, random_state=0)[0]}
        found["bound"] = model.lower_bound_
    return found


@pytest.mark.parametrize("cls", FAMILY)
@pytest.mark.parametrize("name", UGLY)
def test_results_are_finite(cls, name):
    X = UGLY[name]
    y = np.arange(X.shape[0]) % 2 if is_classifier(cls()) else None
    model = small(cls).fit(X, y)
    for what, numbers in results(model, X).items():
        assert np.isfinite(numbers).all(), what


@pytest.mark.parametrize("n_clusters", [1, 4, 5])
def test_barely_more_rows_than_clusters(n_clusters):
    model = small(VaDEClustering, n_clusters=n_clusters).fit(NOISE[:5])
    sizes = np.bincount(model.predict(NOISE[:5]), minlength=n_clusters)
    assert model.cluster_sizes_.tolist() == sorted(sizes, reverse=True) == sizes.tolist()


@pytest.mark.parametrize("cls", [VaDEClustering, GMVAEClustering, DCNClustering])
@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_units_do_not_matter(cls, factor):
    given = {"n_clusters": 3, "latent_dim": 2, "likelihood": "gaussian", "batch_size": 32}
    estimator = small(cls, pretrain_iter=20, **given)
    one = clone(estimator).fit(BLOBS)
    other = clone(estimator).fit(factor * BLOBS)
    assert adjusted_rand_score(one.labels_, other.labels_) == 1
    assert adjusted_rand_score(TRUTH, one.labels_) > 0.9
    np.testing.assert_allclose(factor * one.cluster_centers_, other.cluster_centers_, rtol=1e-3)
    if cls is not DCNClustering:
        shift = BLOBS.shape[1] * np.log(factor)
        np.testing.assert_allclose(
            one.score_samples(BLOBS) - shift, other.score_samples(factor * BLOBS), atol=0.05
        )
