"""The same clusters on every device that is present."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.metrics import adjusted_rand_score

PRESENT = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}


@pytest.mark.parametrize("device", ["cpu", *(name for name in PRESENT if PRESENT[name])])
def test_a_device_that_is_named_is_used(quick, fitted, digits, device):
    X = digits[0]
    model = clone(quick).set_params(device=device).fit(X)
    assert {p.device.type for p in model.module_.parameters()} == {device}
    assert adjusted_rand_score(model.labels_, fitted.labels_) > 0.5
    rows, _ = model.sample(5, random_state=0)
    assert np.isfinite(rows).all()
    assert np.isfinite(model.score(X))
    assert {p.device.type for p in model.module_.parameters()} == {device}
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_allclose(copy.predict_proba(X), model.predict_proba(X), atol=1e-3)
