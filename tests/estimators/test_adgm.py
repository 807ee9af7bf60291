"""ADGMClassifier with skip connections, and the denoising cost of classifiers."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_iris
from torch import nn

from skvade import ADGMClassifier, AuxiliaryTaskClassifier, M2Classifier, VaDEClassifier, load
from tests.conftest import small

pytestmark = pytest.mark.usefixtures("quiet")
X, Y = load_iris(return_X_y=True)
SOME = np.where(np.arange(150) % 5, -1, Y)


@pytest.mark.parametrize("skip", [False, True])
def test_files_bring_either_model_back(skip, tmp_path):
    model = small(ADGMClassifier, skip=skip).fit(X, SOME)
    model.save(tmp_path / "file")
    loaded = load(tmp_path / "file")
    assert loaded.skip == skip
    for method in ("predict_proba", "transform", "score_samples", "outlier_scores"):
        np.testing.assert_array_equal(getattr(loaded, method)(X), getattr(model, method)(X))
    np.testing.assert_array_equal(
        loaded.sample(9, random_state=0)[0], model.sample(9, random_state=0)[0]
    )


@pytest.mark.parametrize("skip, n_columns", [(False, 3 + 3), (True, 2 * 3 + 3)])
def test_an_own_decoder_takes_style_and_class_and_with_skip_the_auxiliary(skip, n_columns):
    model = small(ADGMClassifier, skip=skip, decoder=nn.Linear(n_columns, 4)).fit(X, SOME)
    styles = model.transform(X[:5])
    assert [model.inverse_transform(styles, cluster=c).shape for c in range(3)] == [(5, 4)] * 3
    wrong = small(ADGMClassifier, skip=not skip, decoder=nn.Linear(n_columns, 4))
    with pytest.raises(ValueError, match="decoder fails on an input of shape"):
        wrong.fit(X, SOME)


def test_a_warm_start_needs_the_same_connections():
    model = small(ADGMClassifier, warm_start=True).fit(X, SOME)
    with pytest.raises(ValueError, match="skip"):
        model.set_params(skip=True).fit(X, SOME)


def test_with_skip_rows_are_generated_through_the_auxiliary_variable():
    """What is drawn for one style and class differs by what a adds, and less without it."""
    model = small(ADGMClassifier, skip=True, pretrain_iter="auto", max_iter="auto").fit(X, SOME)
    module = model.module_
    z = torch.zeros(2_000, 3)
    weights = torch.eye(3)[torch.zeros(2_000, dtype=torch.long)]
    with torch.no_grad():
        drawn = module.decode_drawn(z, weights, torch.Generator().manual_seed(0))
        mean = module.decode_given(z[:1], weights[:1])
    assert drawn.std(0).min() > 1e-3
    np.testing.assert_allclose(drawn.mean(0), mean[0], atol=0.3)


@pytest.mark.parametrize(
    "cls", [ADGMClassifier, AuxiliaryTaskClassifier, M2Classifier, VaDEClassifier]
)
def test_the_denoising_cost_comes_beside_the_last_phase_if_it_is_asked_for(cls):
    without, given = small(cls).fit(X, SOME), small(cls, denoising_weight=0.1).fit(X, SOME)
    with_cost = {r["phase"] for r in given.history_ if "denoising" in r}
    assert with_cost == {"train"}
    assert not [r for r in without.history_ if "denoising" in r]
    if hasattr(given, "lower_bound_"):
        assert np.isfinite(given.lower_bound_)
