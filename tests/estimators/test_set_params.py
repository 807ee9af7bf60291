"""What a fitted estimator does depends on its fit, not on parameters that were changed since."""

import matplotlib
import numpy as np
import pytest
from sklearn.base import clone

from skvade import inspection, load
from tests.conftest import FAMILY, small

matplotlib.use("Agg")
pytestmark = pytest.mark.usefixtures("quiet")
RNG = np.random.default_rng(0)
X = RNG.random((60, 6))
Y = np.repeat([0, 1, 2], 20)
OTHER = {
    "latent_dim": 7,
    "hidden_layer_sizes": (3, 3, 3),
    "activation": "tanh",
    "likelihood": "poisson",
    "covariance_type": "diag",
    "reg_covar": 0.5,
    "n_clusters": 9,
    "max_clusters": 7,
    "noise_quantile": 0.5,
    "compare": False,
    "n_classes": 9,
    "n_init": 5,
    "max_iter": 1,
    "alpha": 4.0,
    "learning_rate": 0.5,
    "neighbor_weight": 0.0,
    "n_neighbors": 2,
    "category_weight": 0.0,
    "style_weight": 0.0,
    "temperature": 3.0,
    "skip": True,
    "denoising_weight": 1.0,
    "adversarial_iter": 1,
    "dropout": 0.9,
    "marginalization": "exact",
    "init": "random",
    "early_stopping": True,
}


def everything(model, path):
    names = ("predict", "predict_proba", "transform", "score_samples")
    found = {name: getattr(model, name)(X) for name in names if hasattr(model, name)}
    found["inverse"] = model.inverse_transform(model.transform(X))
    found["report"] = str(model.report())
    if hasattr(model, "sample"):
        found["sample"], _ = model.sample(20, random_state=0)
    model.save(path)
    found["loaded"] = load(path).predict_proba(X)
    display = inspection.LatentSpaceDisplay.from_estimator(model, X)
    found["points"] = np.asarray(display.points_.get_offsets())
    found["ellipses"] = np.array([e.get_verts().sum(0) for e in display.ellipses_])
    matplotlib.pyplot.close("all")
    return found


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
@pytest.mark.parametrize("cls", FAMILY)
def test_parameters_that_are_set_later_change_nothing(cls, covariance_type, tmp_path):
    model = small(cls)
    if "covariance_type" in model.get_params():
        model.set_params(covariance_type=covariance_type)
    elif covariance_type != "full":
        return
    model.fit(X, Y)
    before = everything(clone_of(model), tmp_path / "before")
    names = model.get_params(deep=False)
    others = {name: value for name, value in OTHER.items() if name in names}
    others["covariance_type"] = "tied" if covariance_type == "diag" else "diag"
    model.set_params(**{name: value for name, value in others.items() if name in names})
    after = everything(model, tmp_path / "after")
    for name, value in before.items():
        np.testing.assert_array_equal(after[name], value, err_msg=name)


def clone_of(model):
    """The same fit, which later changes of the estimator do not reach."""
    other = clone(model)
    other.__dict__.update(vars(model))
    return other
