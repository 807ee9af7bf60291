"""What "auto" stands for, and where it is shown."""

import numpy as np
import pytest
from sklearn.decomposition import PCA

from skvade import AuxiliaryTaskClassifier, VaDEClassifier, VaDEClustering
from skvade.estimators.sizes import auto_hidden_layer_sizes, auto_latent_dim
from skvade.nn.filling import Filling
from skvade.training.neighbours import Components
from skvade.training.phases import Initialise

RNG = np.random.default_rng(0)
BUDGET = {"pretrain_iter": 1, "max_iter": 1, "random_state": 0, "precision": "float32"}


def components(variances):
    return Components(lambda x: x, None, None, np.asarray(variances, float), Filling(3, 0))


@pytest.mark.parametrize(
    ("variances", "small", "expected"),
    [
        (np.arange(40, 0, -1), True, 20),
        (np.arange(40, 0, -1), False, 10),
        ([3.0, 2.0, 1.0], False, 3),
        ([3.0, 2.0, 1e-9], True, 2),
    ],
)
def test_latent_dimensions_are_at_most_those_in_which_the_data_vary(variances, small, expected):
    assert auto_latent_dim(components(variances), small) == expected


def test_data_that_do_not_vary_have_one_dimension(quiet):
    assert auto_latent_dim(None, True) == 1
    model = VaDEClustering(1, **BUDGET).fit(np.ones((20, 3)))
    assert model.latent_dim_ == 1


@pytest.mark.parametrize(("shape", "small"), [((60, 4), True), ((1_000, 60), False)])
def test_fitted_attributes_and_the_report_say_what_auto_became(shape, small, quiet):
    X = RNG.normal(size=shape)
    model = VaDEClustering(2, **BUDGET).fit(X)
    assert model.hidden_layer_sizes_ == auto_hidden_layer_sizes(small)
    assert model.latent_dim_ == model.means_.shape[1] == (4 if small else 10)
    assert model.get_params()["latent_dim"] == model.get_params()["hidden_layer_sizes"] == "auto"
    layers = ", ".join(map(str, model.hidden_layer_sizes_))
    said = f"hidden layers {layers}; {model.latent_dim_} latent dimensions"
    assert said in str(model.report())


def test_what_is_held_out_counts_for_neither_sizes_nor_budgets(monkeypatch, quiet):
    """1,050 rows are no small table; the 945 that are trained on are one."""
    seen, make_phases = [], VaDEClustering._make_phases

    def noted(self, facts):
        seen.append((facts.small, facts.shape.hidden_layer_sizes))
        return make_phases(self, facts)

    monkeypatch.setattr(VaDEClustering, "_make_phases", noted)
    X = RNG.normal(size=(1_050, 60))
    VaDEClustering(2, early_stopping=True, **BUDGET).fit(X)
    VaDEClustering(2, **BUDGET).fit(X)
    assert seen == [(True, (256, 256)), (False, (256, 256, 256))]


@pytest.mark.parametrize(("shape", "small"), [((60, 4), True), ((1_000, 60), False)])
def test_clusters_of_small_tables_are_sought_among_components_too(shape, small, monkeypatch, quiet):
    seen, make_phases = [], VaDEClustering._make_phases

    def noted(self, facts):
        seen.extend(make_phases(self, facts))
        return seen

    monkeypatch.setattr(VaDEClustering, "_make_phases", noted)
    VaDEClustering(2, **BUDGET).fit(RNG.normal(size=shape))
    (start,) = (phase for phase in seen if isinstance(phase, Initialise))
    assert (start.components is not None) == small


def test_copies_of_a_column_add_no_dimension(quiet):
    X = RNG.normal(size=(50, 2))
    model = VaDEClustering(2, **BUDGET).fit(np.column_stack([X, X, X[:, 0] - X[:, 1]]))
    assert model.latent_dim_ == 2


def test_given_sizes_are_kept(quiet):
    X = RNG.normal(size=(60, 4))
    given = {"hidden_layer_sizes": [9, np.int64(8)], "latent_dim": 6}
    model = VaDEClustering(2, **given, **BUDGET).fit(X)
    assert model.hidden_layer_sizes_ == (9, 8)
    assert model.latent_dim_ == 6


def test_classifiers_have_them_too(quiet):
    X, y = RNG.normal(size=(60, 4)), np.arange(60) % 2
    assert VaDEClassifier(**BUDGET).fit(X, y).latent_dim_ == 4
    assert AuxiliaryTaskClassifier(latent_dim=7, **BUDGET).fit(X, y).latent_dim_ == 7


def test_a_warm_start_keeps_what_the_first_fit_found(quiet):
    X = RNG.normal(size=(60, 4))
    model = VaDEClustering(2, warm_start=True, **BUDGET).fit(X)
    rank_one = np.outer(X[:, 0], np.ones(4))
    model.fit(rank_one)
    assert model.latent_dim_ == 4
    assert model.hidden_layer_sizes_ == (256, 256)


@pytest.mark.parametrize("sizes", ["auto", ()])
def test_before_any_step_codes_are_those_of_pca(sizes, quiet):
    """Small tables have no phase of the autoencoder; the rates of the others are put to nothing."""
    X = RNG.normal(size=(80, 5)) @ RNG.normal(size=(5, 5))
    still = {"learning_rate": 1e-12, "max_iter": 1, "neighbor_weight": 0, "random_state": 0}
    model = VaDEClustering(2, hidden_layer_sizes=sizes, latent_dim=3, **still).fit(X)
    codes, expected = model.transform(X), PCA(3).fit_transform(X)
    for code, component in zip(codes.T, expected.T, strict=True):
        assert abs(np.corrcoef(code, component)[0, 1]) == pytest.approx(1, abs=1e-5)
    decoded = PCA(3).fit(X).inverse_transform(expected)
    np.testing.assert_allclose(model.inverse_transform(codes), decoded, atol=1e-3)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hidden_layer_sizes", "small"),
        ("hidden_layer_sizes", (0,)),
        ("hidden_layer_sizes", 5),
        ("latent_dim", "paper"),
        ("latent_dim", 0),
        ("linear_path", "yes"),
    ],
)
def test_what_is_no_size_is_refused_by_name(name, value):
    with pytest.raises(ValueError, match=name):
        VaDEClustering(2, **{name: value}).fit(RNG.normal(size=(20, 3)))
