"""Every kind of good input, and a clear refusal of every kind of bad one."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from skvade import VaDEClustering
from skvade.estimators.base import BaseDeepModel
from skvade.estimators.validation import CONSTRAINTS
from tests.conftest import FAMILY, small

COUNTS = np.random.default_rng(0).integers(0, 4, size=(60, 5)).astype(np.float64)
QUICK = VaDEClustering(
    3,
    latent_dim=3,
    hidden_layer_sizes=(16,),
    pretrain_iter=5,
    max_iter=3,
    precision="float32",
    random_state=0,
)


@pytest.fixture(scope="module")
def reference():
    return clone(QUICK).fit(COUNTS)


def containers(tmp_path):
    read_only = COUNTS.copy()
    read_only.flags.writeable = False
    np.save(tmp_path / "x.npy", COUNTS)
    named = pd.DataFrame(COUNTS, columns=list("abcde"))
    return {
        "list": COUNTS.tolist(),
        "tuple": tuple(map(tuple, COUNTS)),
        "float32": COUNTS.astype(np.float32),
        "float16": COUNTS.astype(np.float16),
        "longdouble": COUNTS.astype(np.longdouble),
        "int8": COUNTS.astype(np.int8),
        "uint8": COUNTS.astype(np.uint8),
        "uint16": COUNTS.astype(np.uint16),
        "int32": COUNTS.astype(np.int32),
        "uint64": COUNTS.astype(np.uint64),
        "object": COUNTS.astype(object),
        "fortran": np.asfortranarray(COUNTS),
        "strided": np.repeat(COUNTS, 2, axis=0)[::2],
        "read-only": read_only,
        "memory map": np.load(tmp_path / "x.npy", mmap_mode="r"),
        "frame": named,
        "mixed frame": named.astype({"a": "int64", "b": "float32", "c": "Int64"}),
        "tensor": torch.from_numpy(COUNTS),
        **{f"{f} array": sp.csr_array(COUNTS).asformat(f) for f in ("csr", "csc", "coo", "lil")},
        **{f"{f} matrix": sp.csr_matrix(COUNTS).asformat(f) for f in ("csr", "csc", "dok")},
    }


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
@pytest.mark.filterwarnings("ignore:X has feature names")
def test_every_container_gives_the_same_clusters(reference, tmp_path):
    expected = reference.transform(COUNTS)
    for name, X in containers(tmp_path).items():
        model = clone(QUICK).fit(X)
        np.testing.assert_array_equal(model.labels_, model.predict(X), err_msg=name)
        np.testing.assert_allclose(
            model.transform(COUNTS), expected, rtol=1e-3, atol=1e-3, err_msg=name
        )
        np.testing.assert_allclose(
            reference.transform(X), expected, rtol=1e-3, atol=1e-4, err_msg=name
        )


def test_booleans():
    X = COUNTS > 1
    model = clone(QUICK).fit(X)
    assert model.likelihood_ == "bernoulli"
    np.testing.assert_array_equal(model.labels_, clone(QUICK).fit(X.astype(np.float32)).labels_)


def test_inputs_are_not_modified():
    X, before = COUNTS.copy(), COUNTS.copy()
    clone(QUICK).fit(X).score_samples(X)
    np.testing.assert_array_equal(X, before)


def test_sparse_input_is_never_dense_as_a_whole(monkeypatch):
    monkeypatch.setattr("skvade.training.units.BLOCK_BYTES", 2**23)
    X = sp.csr_array(sp.random(100_000, 200, density=1e-3, format="csr", random_state=0))
    tracemalloc.start()
    model = (
        clone(QUICK)
        .set_params(max_iter=1, pretrain_iter=0, init="random", neighbor_weight=0)
        .fit(X)
    )
    model.predict(X)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.5 * 8 * 100_000 * 200


def test_memory_maps_are_never_loaded_as_a_whole(reference, tmp_path):
    path = tmp_path / "big.npy"
    X = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(2_000_000, 5))
    X[:] = 1
    tracemalloc.start()
    labels = reference.predict(np.load(path, mmap_mode="r"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(labels) == 2_000_000
    assert peak < 2.5 * labels.nbytes  # the parts and the whole of the result, not the rows


def test_a_fit_reads_a_memory_map_without_loading_it(tmp_path, monkeypatch):
    monkeypatch.setattr("skvade.training.units.BLOCK_BYTES", 2**23)
    X = np.lib.format.open_memmap(
        tmp_path / "big.npy", mode="w+", dtype=np.float32, shape=(100_000, 200)
    )
    X[::7] = 1
    del X
    model = clone(QUICK).set_params(
        max_iter=1, pretrain_iter=0, init="random", batch_size=4096, neighbor_weight=0
    )
    for early_stopping in (False, True):
        X = np.load(tmp_path / "big.npy", mmap_mode="r")
        tracemalloc.start()
        model.set_params(early_stopping=early_stopping).fit(X)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 0.6 * X.nbytes


def test_sparse_input_is_not_modified():
    """scipy's own min() would merge the duplicate entries of the caller's matrix."""
    entries = np.array([1.0, 2.0, 3.0] * 20)
    X = sp.csr_array((entries, np.array([0, 0, 4] * 20), np.arange(0, 61, 3)), shape=(20, 5))
    model = clone(QUICK).set_params(likelihood="poisson").fit(X)
    model.score_samples(X)
    model.predict(X)
    assert X.nnz == 60


def test_large_offsets_of_integers_survive():
    stamps = np.arange(100).reshape(-1, 1) + np.array([1_700_000_000, 0])
    fits = [clone(QUICK).fit(stamps.astype(dtype)) for dtype in (np.int32, np.int64)]
    np.testing.assert_array_equal(fits[0].means_, fits[1].means_)


@pytest.mark.parametrize("n_rows", [1, 2, 1000])
def test_any_number_of_rows_can_be_predicted(reference, n_rows):
    labels = reference.predict(np.resize(COUNTS, (n_rows, 5)))
    np.testing.assert_array_equal(labels, np.resize(reference.labels_, n_rows))


BAD_DATA = {
    "infinity": (np.where(COUNTS == 0, np.inf, COUNTS), ValueError, "infinity"),
    "empty": (np.empty((0, 5)), ValueError, "0 sample"),
    "no features": (np.empty((10, 0)), ValueError, "0 feature"),
    "1-d": (COUNTS[0], ValueError, "Expected 2D array"),
    "3-d": (COUNTS.reshape(6, 10, 5), ValueError, "dim 3"),
    "scalar": (3.0, ValueError, "Expected 2D array"),
    "complex": (COUNTS + 1j, ValueError, "Complex"),
    "strings": (COUNTS.astype(str), ValueError, "strings|numeric"),
    "words": ([["a", "b"]] * 5, ValueError, "could not convert|strings|numeric"),
    "dates": (
        COUNTS.astype("datetime64[s]"),
        (TypeError, ValueError),
        "real numbers|DType|numeric",
    ),
    "nothing": (None, ValueError, "NoneType|Expected 2D|NaN"),
    "one row": (COUNTS[:1], ValueError, "1 sample"),
    "sparse infinity": (
        sp.csr_array(np.where(COUNTS == 1, np.inf, COUNTS)),
        ValueError,
        "infinity",
    ),
    "ragged": ([[1, 2], [3]], ValueError, "inhomogeneous|sequence"),
}


@pytest.mark.parametrize("case", BAD_DATA)
def test_bad_data_are_refused_before_training(case, monkeypatch):
    X, error, message = BAD_DATA[case]
    monkeypatch.setattr(VaDEClustering, "_train", lambda *args, **kwargs: pytest.fail("trained"))
    with pytest.raises(error, match=message):
        clone(QUICK).fit(X)


def test_fewer_rows_than_clusters():
    with pytest.raises(ValueError, match="n_samples=3 should be >= n_clusters=4"):
        VaDEClustering().fit(COUNTS[:3])


@pytest.mark.parametrize("method", ["predict", "predict_proba", "transform", "score_samples"])
def test_predicting_checks_columns_and_values(reference, method):
    with pytest.raises(ValueError, match="4 features.*expecting 5"):
        getattr(reference, method)(COUNTS[:, :4])
    with pytest.raises(ValueError, match="infinity"):
        getattr(reference, method)(np.full((2, 5), np.inf))
    with pytest.raises(ValueError, match="Expected 2D"):
        getattr(reference, method)(COUNTS[0])


@pytest.mark.parametrize("likelihood", ["bernoulli", "poisson", "negative_binomial"])
def test_data_outside_the_support_are_refused(likelihood):
    model = clone(QUICK).set_params(likelihood=likelihood)
    with pytest.raises(ValueError, match=r"Negative.*needs X in \[0, (1|1e\+09)\].*gaussian"):
        model.fit(COUNTS - 1)
    model.fit(COUNTS / 3)
    with pytest.raises(ValueError, match="Negative values in data"):
        model.score_samples(COUNTS - 1)


def test_bernoulli_data_end_at_one():
    with pytest.raises(ValueError, match=r"needs X in \[0, 1\], got values up to 3"):
        clone(QUICK).set_params(likelihood="bernoulli").fit(COUNTS)


@pytest.mark.parametrize("likelihood", ["poisson", "negative_binomial"])
def test_counts_end_where_float32_does(likelihood):
    model = clone(QUICK).set_params(likelihood=likelihood)
    with pytest.raises(
        ValueError, match=r"needs X in \[0, 1e\+09\], got values up to 3e\+29; divide"
    ):
        model.fit(COUNTS * 1e29)
    model.fit(COUNTS * 3e8)
    assert np.isfinite(model.score_samples(COUNTS * 3e8)).all()


def test_parameters_of_a_class_of_ones_own_are_left_alone():
    class Mine(VaDEClustering):
        def __init__(self, n_clusters=3, *, flag=True, max_iter=2):
            super().__init__(n_clusters, max_iter=max_iter, hidden_layer_sizes=(8,), random_state=0)
            self.flag = flag

        @classmethod
        def _get_param_names(cls):
            return sorted([*super()._get_param_names(), "flag"])

    assert Mine().fit(np.random.default_rng(0).normal(size=(60, 3))).flag is True


BAD_PARAMETERS = {
    "n_clusters": [0, -1, 2.5, "3", None, True],
    "compare": [1.5, "no", None],
    "noise_quantile": [0, 1, 1.5, -0.1, "auto", True],
    "max_clusters": [1, 0, 2.5, "auto", None, True],
    "latent_dim": [0, 1.5, "paper", True],
    "hidden_layer_sizes": [(0,), (10, 2.5), 100, "deep", (True,)],
    "linear_path": ["yes", None, 2],
    "activation": ["swish", None, 3],
    "likelihood": ["normal", None, 3, ["poisson"]],
    "categorical_features": ["all", 3, True],
    "covariance_type": ["round", None],
    "reg_covar": [0, -1e-3, 2, "small"],
    "encoder": ["conv", 3, KMeans(), torch.nn.ReLU],
    "decoder": ["conv", 3, torch.nn.ReLU],
    "n_neighbors": [0, 1.5, None],
    "neighbor_weight": [-1, "strong", np.nan],
    "init": ["kmeans", None, 3, object(), KMeans],
    "n_init": [0, 1.5, "auto"],
    "pretrain_iter": [-1, 1.5, "all"],
    "max_iter": [0, 1.5, "all", None],
    "batch_size": [0, 1.5, "all"],
    "learning_rate": [0, -1e-3, 2.0, "fast", np.nan],
    "learning_rate_schedule": ["linear", None],
    "tol": [-1e-3, "tight", np.nan],
    "n_iter_no_change": [0, 1.5],
    "early_stopping": ["yes", 2],
    "validation_fraction": [0, 1, -0.1, "half"],
    "warm_start": ["yes", 2],
    "device": [None, 3, "gpu", "cuda:99"],
    "precision": ["float16", None, 32],
    "random_state": ["seed", -1, 1.5],
    "verbose": ["loud", -1],
    "n_classes": [0, -1, 2.5, "two"],
    "alpha": [0, -1, "one"],
    "update_interval": [0, 1.5, "auto"],
    "clustering_weight": [-1, "strong", np.nan],
    "marginalization": ["sum", None],
    "temperature": [0, -1, "hot"],
    "min_temperature": [0, -1, None],
    "category_weight": [-1, None],
    "style_weight": [-1, "strong"],
    "label_weight": [-1, None, np.nan],
    "n_nearest": [0, 1.5],
    "skip": ["yes", 2],
    "denoising_weight": [-1, None, np.nan],
    "adversarial_iter": [-1, 1.5, "auto"],
    "dropout": [-0.1, 1.0, "some", None],
    "assignment_weight": [-1, None],
    "feature_weight": [-1, "strong"],
    "labeled_share": [-0.1, 1.1, None],
}


def test_every_parameter_has_a_constraint_and_bad_values():
    parameters = {name for cls in FAMILY for name in cls().get_params()}
    assert parameters == set(CONSTRAINTS) == set(BAD_PARAMETERS)


@pytest.mark.parametrize(
    "name, value", [(name, value) for name, values in BAD_PARAMETERS.items() for value in values]
)
def test_bad_parameters_are_named_before_training(name, value, monkeypatch):
    monkeypatch.setattr(BaseDeepModel, "_train", lambda *args, **kwargs: pytest.fail("trained"))
    cls = next(cls for cls in [VaDEClustering, *FAMILY] if name in cls().get_params())
    estimator = clone(QUICK) if cls is VaDEClustering else cls()
    with pytest.raises((ValueError, TypeError), match=name):
        estimator.set_params(**{name: value}).fit(COUNTS, np.arange(len(COUNTS)) % 2)


def test_float32_results_fit_float64_rows(reference):
    np.testing.assert_array_equal(
        reference.predict(COUNTS), reference.predict(COUNTS.astype(np.float32))
    )


@pytest.mark.parametrize(
    "call",
    [
        lambda model, X: model.fit(X),
        lambda model, X: model.fit_predict(X),
        lambda model, X: make_pipeline(model).fit(X),
        lambda model, X: GridSearchCV(model, {"latent_dim": [2]}, cv=2).fit(X),
    ],
)
def test_warnings_point_at_the_line_that_called_fit(call):
    X = np.random.default_rng(0).normal(size=(60, 3))
    model = small(VaDEClustering, max_iter=1)
    with pytest.warns(ConvergenceWarning) as caught:
        call(model, X)
    assert {warning.filename for warning in caught} == {__file__}
    with pytest.warns(ConvergenceWarning):
        exec("model.fit(X)", {"model": model, "X": X})  # globals without a name
