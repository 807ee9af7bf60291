"""scikit-learn's own checks: nothing skipped, nothing expected to fail.

The siblings have small networks here, start at k-means and are compared with nothing, but for
`make checks`, where all are constructed by default and VaDE is tried with every covariance and
likelihood.
"""

import os

import pytest
from sklearn.base import clone, is_classifier
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks

from skvade import VaDEClustering
from tests.conftest import FAMILY

# Some checks have thresholds of accuracy, which are to mean the same on every machine.
ALL = "SKVADE_DEFAULT_CHECKS" in os.environ
SURE = {} if ALL else {"precision": "float32"}
QUICK = {
    "hidden_layer_sizes": (32,),
    "latent_dim": 4,
    "pretrain_iter": 5,
    "max_iter": 5,
    "init": "k-means",
    "precision": "float32",
}


def quick(cls, **parameters):
    alone = {} if is_classifier(cls()) else {"compare": False}
    return cls(**QUICK, **alone, **parameters)


SIBLINGS = [cls() if ALL else quick(cls) for cls in FAMILY if cls is not VaDEClustering]
GAUSSIAN = [
    quick(VaDEClustering, likelihood="gaussian", covariance_type=kind)
    for kind in (("full", "tied", "diag", "spherical") if ALL else ("spherical",))
]
COUNTS = [
    quick(VaDEClustering, likelihood=name)
    for name in (("poisson", "negative_binomial") if ALL else ("negative_binomial",))
]


@parametrize_with_checks([VaDEClustering(**SURE), *SIBLINGS, *GAUSSIAN])
def test_scikit_learn_check(estimator, check):
    check(estimator)


# Bernoulli data lie in [0, 1], which few checks' data do; "auto" is Bernoulli in those that do.
# The checks keep to non-negative data for estimators that say so, but for `check_clustering`.
@pytest.mark.parametrize(
    "estimator, check",
    [
        pytest.param(estimator, check, id=f"{count.likelihood}-{number}-{check.func.__name__}")
        for count in COUNTS
        for number, (estimator, check) in enumerate(estimator_checks_generator(count))
        if check.func.__name__ != "check_clustering"
    ],
)
def test_scikit_learn_check_of_counts(estimator, check):
    check(clone(estimator))


@pytest.mark.parametrize("estimator", [cls() for cls in FAMILY])
def test_nothing_is_declared_random(estimator):
    assert not estimator.__sklearn_tags__().non_deterministic
