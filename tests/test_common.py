"""scikit-learn's own checks: nothing skipped, nothing expected to fail."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from skvade import VaDEClustering

QUICK = {"hidden_layer_sizes": (32,), "latent_dim": 4, "max_iter": 20}
COVARIANCES = [
    VaDEClustering(covariance_type=kind, **QUICK) for kind in ("full", "tied", "diag", "spherical")
]
# Bernoulli data lie in [0, 1], which the checks' data do not; "auto" covers it where they do.
LIKELIHOODS = [
    VaDEClustering(likelihood=name, **QUICK)
    for name in ("gaussian", "poisson", "negative_binomial")
]


@parametrize_with_checks([VaDEClustering(), *COVARIANCES, *LIKELIHOODS])
def test_scikit_learn_check(estimator, check):
    check(estimator)


@pytest.mark.parametrize("estimator", [VaDEClustering(), *COVARIANCES, *LIKELIHOODS])
def test_nothing_is_declared_random(estimator):
    assert not estimator.__sklearn_tags__().non_deterministic
