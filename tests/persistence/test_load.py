"""What is saved is loaded, to the last bit; nothing in a file is executed, whatever it says."""

import copy
import inspect
import itertools
import json
import os
import pickle
import random
import subprocess
import sys
import threading
import warnings
from functools import partial

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from sklearn import config_context, get_config
from sklearn.base import clone, is_classifier
from sklearn.cluster import KMeans
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.mixture import GaussianMixture

from benchmarks import fuzz_files
from benchmarks.fuzz_files import identical, join, split
from skvade import DECClustering, M2Clustering, VaDEClassifier, VaDEClustering, load
from skvade.estimators.load import ESTIMATORS
from skvade.nn.covariances import COVARIANCES
from skvade.nn.likelihoods import LIKELIHOODS
from skvade.persistence import container, model_file
from skvade.persistence.model_file import contents_of
from skvade.persistence.packing import METADATA
from tests import conftest
from tests.conftest import FAMILY
from tests.data.write_models import FOLDER

METHODS = ("predict", "predict_proba", "transform", "score_samples")
X, Y = load_iris(return_X_y=True)
NAMES = np.array(["ant", "bee", "cat"])[Y]


small = partial(
    conftest.small, hidden_layer_sizes=(8, 5), latent_dim=2, max_iter=2, pretrain_iter=2
)
pytestmark = pytest.mark.usefixtures("quiet")


@pytest.fixture(scope="module")
def models():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return {cls: small(cls).fit(X, NAMES) for cls in FAMILY}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


def outputs(model, rows):
    names = [name for name in METHODS if hasattr(model, name)]
    return {name: np.asarray(getattr(model, name)(rows)) for name in names}


def assert_equal(loaded, saved, rows=X):
    assert type(loaded) is type(saved)
    assert identical(contents_of(loaded), contents_of(saved))
    assert identical(outputs(loaded, rows), outputs(saved, rows))


# ------------------------------------------------------------------------------ round trips


def test_the_registry_is_the_family():
    assert set(ESTIMATORS.values()) == set(FAMILY)


@pytest.mark.parametrize("cls", FAMILY)
def test_everything_is_the_same_after_loading(cls, models, path):
    saved = models[cls]
    saved.save(path)
    loaded = load(path)
    assert_equal(loaded, saved)
    assert vars(loaded).keys() == vars(saved).keys() - {"_replay"}
    assert loaded.get_params() == saved.get_params()
    assert str(loaded.report()) == str(saved.report())
    codes = saved.transform(X)
    assert identical(loaded.inverse_transform(codes), saved.inverse_transform(codes))
    if hasattr(cls, "sample"):
        assert identical(loaded.sample(20), saved.sample(20))
    if is_classifier(saved):
        assert loaded.score(X, NAMES) == saved.score(X, NAMES)


@pytest.mark.parametrize("cls", FAMILY)
def test_loaded_models_are_models(cls, models, path):
    """They go on, are fitted anew, are copied and saved as if they had never been away."""
    models[cls].save(path)
    loaded = load(path)
    loaded.save(path)
    assert_equal(load(path), models[cls])
    assert_equal(pickle.loads(pickle.dumps(loaded)), models[cls])
    assert identical(contents_of(clone(loaded).fit(X, NAMES)), contents_of(models[cls]))
    went_on = copy.deepcopy(models[cls]).set_params(warm_start=True).fit(X, NAMES)
    assert_equal(loaded.set_params(warm_start=True).fit(X, NAMES), went_on)


@pytest.mark.parametrize("covariance_type", COVARIANCES)
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_every_likelihood_with_every_covariance(likelihood, covariance_type, path):
    rows = X / 8 if likelihood == "bernoulli" else X.round()
    parameters = {"likelihood": likelihood, "covariance_type": covariance_type}
    saved = small(VaDEClustering, neighbor_weight=0, **parameters).fit(rows)
    saved.save(path)
    loaded = load(path)
    assert_equal(loaded, saved, rows)
    assert identical(loaded.sample(9, random_state=0), saved.sample(9, random_state=0))


@pytest.mark.parametrize(
    ("rows", "y"),
    [
        (X.astype(np.float32), Y),
        (sp.csr_array(X), Y),
        (X.astype(np.uint8), Y),
        (pd.DataFrame(X, columns=list("äbcd")), pd.Series(NAMES)),
        (X, np.array([*NAMES[:-5], *[-1] * 5], dtype=object)),
        (X, Y.astype(float)),
        (X, Y.astype(np.uint8)),
        (X, Y == 1),
    ],
)
def test_rows_and_classes_of_any_kind(rows, y, path):
    saved = small(VaDEClassifier).fit(rows, y)
    saved.save(path)
    loaded = load(path)
    assert_equal(loaded, saved, rows)
    if isinstance(rows, pd.DataFrame):
        assert list(loaded.feature_names_in_) == list("äbcd")
        with pytest.raises(ValueError, match="feature names"):
            loaded.predict(rows.rename(columns={"b": "e"}))


@pytest.mark.parametrize(
    "parameters",
    [
        {"early_stopping": True, "n_init": 2, "hidden_layer_sizes": [8]},
        {"init": Y.tolist(), "n_clusters": np.int64(3), "tol": np.float32(0.5)},
        {"init": np.zeros((3, 2)), "hidden_layer_sizes": np.array([8, 9])},
        {"activation": "tanh", "reg_covar": 0.3, "n_clusters": 1},
    ],
)
def test_parameters_of_any_kind(parameters, path):
    saved = small(VaDEClustering, **parameters).fit(X)
    saved.set_output(transform="pandas").save(path)
    loaded = load(path)
    assert_equal(loaded, saved)
    assert isinstance(loaded.transform(X), pd.DataFrame)


def test_a_random_state_goes_on_where_it_was(path):
    saved = small(VaDEClustering, random_state=np.random.RandomState(3)).fit(X)
    saved.save(path)
    loaded = load(path)
    for _ in range(2):
        assert identical(loaded.sample(5), saved.sample(5))
    saved.set_params(random_state=np.random.RandomState(np.random.PCG64(0)))
    with pytest.raises(TypeError, match=r"random_state=RandomState.*set_params\(random_state=None"):
        saved.save(path)


def test_parameters_may_have_been_set_since_the_fit(models, path):
    saved = copy.deepcopy(models[DECClustering])
    saved.set_params(latent_dim=7, hidden_layer_sizes=(3,), alpha=2.0, n_clusters=9, max_iter=-1)
    saved.save(path)
    loaded = load(path)
    assert_equal(loaded, saved)
    assert loaded.get_params() == saved.get_params()


def test_warm_starts_keep_what_the_model_was_built_from(path):
    """Whether draws are of zeros and ones was decided by the first data."""
    binary = (X > X.mean(0)).astype(float)
    saved = small(VaDEClustering, likelihood="bernoulli", warm_start=True).fit(binary)
    saved.fit(X / 8)
    saved.save(path)
    assert identical(load(path).sample(9), saved.sample(9))


def test_loading_leaves_the_process_and_the_file_alone(models, path):
    models[VaDEClustering].save(path)
    before = path.read_bytes()
    seeds = torch.get_rng_state(), np.random.get_state()[1].copy()
    load(path)
    assert torch.equal(torch.get_rng_state(), seeds[0])
    np.testing.assert_array_equal(np.random.get_state()[1], seeds[1])
    assert torch.get_default_device().type == "cpu"
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_devices(models, path):
    models[VaDEClustering].save(path)
    assert load(path, "cpu").get_params()["device"] == "auto"
    with pytest.raises(ValueError, match="'nowhere' is not a device"):
        load(path, "nowhere")


def test_a_file_is_hardly_larger_than_its_tensors(digits, path):
    model = VaDEClustering(10, pretrain_iter=1, max_iter=1, neighbor_weight=0, random_state=0)
    model.fit(digits[0]).save(path)
    _, body = split(path.read_bytes())
    assert path.stat().st_size < 1.01 * len(body)


@pytest.mark.parametrize("cls", FAMILY)
def test_loading_checks_every_attribute_of_a_fit(cls, models):
    """One that is new must be added to the tables, and made up for in files that lack it."""
    model = models[cls]
    present = vars(model).keys() - model.get_params().keys() - {"module_"}
    checked_as_they_are_built = {"_units", "_summary", "_dtype", "_templates"}
    not_saved = {"_replay"}
    for_users_only = {"covariances_"}
    checked = model_file.expected(cls, vars(model)).keys()
    assert present - checked_as_they_are_built - for_users_only - not_saved == checked


# ------------------------------------------------------------------------------ refusals to save


def test_there_must_be_a_fit(path):
    with pytest.raises(NotFittedError):
        VaDEClustering().save(path)
    assert not path.exists()


@pytest.mark.parametrize("init", [KMeans(3), GaussianMixture(3), pd.Series(Y)])
def test_what_only_code_could_load_is_not_saved(init, path):
    model = small(VaDEClustering, init=init).fit(X)
    message = r"with init=(.|\n)*without executing code(.|\n)*call set_params\(init='auto'\) first"
    with pytest.raises(TypeError, match=message):
        model.save(path)
    assert not path.exists()
    model.set_params(init="gmm").save(path)
    assert identical(load(path).predict_proba(X), model.predict_proba(X))


def test_attributes_of_users_must_be_plain(models, path):
    model = copy.deepcopy(models[VaDEClustering])
    model.note_ = "kept"
    model.save(path)
    assert load(path).note_ == "kept"
    model.note_ = object()
    with pytest.raises(TypeError, match=r"fitted\.note_ is of type object"):
        model.save(path)


def test_what_scikit_learn_keeps_on_an_estimator(models, path):
    """Requests of metadata and kinds of output come back; callbacks belong to the process."""
    for cls, requests in (
        (VaDEClustering, {"fit": {"checkpoint": True, "checkpoint_interval": "seconds"}}),
        (VaDEClassifier, {"fit": {"checkpoint": False}, "score": {"sample_weight": "weight"}}),
    ):
        saved = copy.deepcopy(models[cls]).set_output(transform="pandas")
        with config_context(enable_metadata_routing=True):
            for method, asked in requests.items():
                getattr(saved, f"set_{method}_request")(**asked)
        saved.save(path)
        loaded = load(path)
        assert not get_config()["enable_metadata_routing"]
        assert_equal(loaded, saved)
        assert vars(loaded).keys() == vars(saved).keys() - {"_replay"}
        assert isinstance(loaded.transform(X), pd.DataFrame)
        for method in requests:
            asked = [getattr(m.get_metadata_routing(), method).requests for m in (loaded, saved)]
            assert asked[0] == asked[1] != {}
        assert str(clone(loaded).get_metadata_routing()) == str(saved.get_metadata_routing())


@pytest.fixture
def refitted():
    """A model, and fits of it to rows with other numbers of columns."""
    model = small(VaDEClustering, pretrain_iter=1, max_iter=1, neighbor_weight=0)
    return clone(model), [clone(model).fit(rows) for rows in (X[:, :3], X)]


def test_files_hold_one_fit_while_another_thread_fits(refitted, path):
    model, _ = refitted
    model.fit(X)
    ended = threading.Event()

    def refit():
        while not ended.is_set():
            for rows in (X[:, :3], X):
                model.fit(rows)

    thread = threading.Thread(target=refit)
    thread.start()
    widths = []
    try:
        while thread.is_alive() and (len(widths) < 24 or len(set(widths)) < 2):
            model.save(path)
            loaded = load(path)
            widths.append(loaded.n_features_in_)
            assert loaded.predict(X[:5, : widths[-1]]).shape == (5,)
    finally:
        ended.set()
        thread.join()
    assert set(widths) == {3, 4}


def test_a_fit_may_end_at_any_line_of_a_save(refitted, path):
    model, (narrow, wide) = refitted

    def end_fit_at(number):
        """Let another fit take the place of the model's before such a line; whether there is."""
        lines = itertools.count()

        def trace(frame, event, arg):
            if frame.f_code is not contents_of.__code__:
                return None
            if event == "line" and next(lines) == number:
                model.__dict__ = dict(vars(wide))
            return trace

        older = sys.gettrace()
        model.__dict__ = dict(vars(narrow))
        sys.settrace(trace)
        try:
            model.save(path)
        finally:
            sys.settrace(older)
        return next(lines) > number

    widths = set()
    for number in itertools.count():
        if not end_fit_at(number):
            break
        loaded = load(path)
        widths.add(loaded.n_features_in_)
        assert loaded.predict(X[:5, : loaded.n_features_in_]).shape == (5,)
    assert widths == {3}  # the fit that there was when `save` was called


def test_classes_of_others_are_not_saved(path):
    class Mine(VaDEClustering):
        pass

    with pytest.raises(TypeError, match="Mine cannot be saved: files hold no code"):
        small(Mine).fit(X).save(path)


# ------------------------------------------------------------------------------ own networks


class Tied(torch.nn.Module):
    """A body with tied weights, buffers, and a global draw when it is made."""

    def __init__(self, n_in=4, n_hidden=6):
        super().__init__()
        self.a = torch.nn.Linear(n_in, n_hidden)
        self.b = torch.nn.Linear(n_hidden, n_hidden)
        self.c = torch.nn.Linear(n_hidden, n_hidden)
        self.c.weight = self.b.weight
        self.norm = torch.nn.BatchNorm1d(n_hidden)

    def forward(self, x):
        return self.c(self.norm(torch.tanh(self.b(self.a(x)))))


def test_networks_of_users_are_filled(path):
    encoder, decoder = Tied(), torch.nn.Linear(5, 4)
    networks = {"encoder": encoder, "decoder": decoder}
    saved = small(M2Clustering, **networks).fit(X)
    saved.save(path)
    before = copy.deepcopy(encoder.state_dict())
    loaded = load(path, **networks)
    assert identical(dict(encoder.state_dict()), dict(before))
    assert_equal(loaded, saved)
    assert loaded.encoder is encoder
    assert loaded.get_params() == saved.get_params()
    body = loaded.module_.encoder.body
    assert body.c.weight is body.b.weight
    assert_equal(load(path, encoder=Tied(), decoder=torch.nn.LazyLinear(4)), saved)
    went_on = copy.deepcopy(saved).set_params(warm_start=True).fit(X)
    again = loaded.set_params(warm_start=True).fit(X)
    assert identical(again.predict_proba(X), went_on.predict_proba(X))


@pytest.mark.parametrize("likelihood", ["gaussian", "poisson"])
def test_one_network_may_be_the_users(likelihood, path):
    saved = small(VaDEClustering, encoder=Tied(), likelihood=likelihood).fit(X)
    saved.save(path)
    assert_equal(load(path, encoder=saved.encoder), saved)
    with pytest.raises(ValueError, match="without a module of your own as decoder; pass none"):
        load(path, encoder=Tied(), decoder=torch.nn.Linear(2, 4))


def test_networks_of_users_are_asked_for_and_compared(path):
    saved = small(VaDEClustering, encoder=Tied(), decoder=torch.nn.Linear(2, 4)).fit(X)
    saved.save(path)
    decoder = torch.nn.Linear(2, 4)
    with pytest.raises(ValueError, match=r"as encoder, .*load\(path, encoder=\.\.\.\)"):
        load(path)
    with pytest.raises(ValueError, match=r"as decoder, .*load\(path, decoder=\.\.\.\)"):
        load(path, encoder=Tied())
    with pytest.raises(ValueError, match=r"body\.a\.weight is float32 of shape \(6, 4\) in the f"):
        load(path, encoder=Tied(4, 9), decoder=decoder)
    with pytest.raises(ValueError, match=r"body\.0\.weight is absent in the file .*as encoder"):
        load(path, encoder=torch.nn.Sequential(torch.nn.Linear(4, 6)), decoder=decoder)
    with pytest.raises(ValueError, match=r"encoder fails on an input of shape \(2, 4\)"):
        load(path, encoder=Tied(5), decoder=decoder)
    with pytest.raises(ValueError, match="decoder takes codes of shape"):
        load(path, encoder=Tied(), decoder=torch.nn.Linear(2, 9))


def test_networks_set_after_the_fit_are_parameters_only(models, path):
    saved = copy.deepcopy(models[VaDEClustering]).set_params(encoder=Tied())
    saved.save(path)
    loaded = load(path, encoder=saved.encoder)
    assert loaded.get_params() == saved.get_params()
    assert identical(loaded.predict_proba(X), saved.predict_proba(X))


class Scaled(torch.nn.Module):
    """With an attribute that no tensor shows, and perhaps one that nobody can name."""

    def __init__(self, g=1.0, function=None, seed=0):
        super().__init__()
        self.g, self.function = g, function
        self.net = torch.nn.utils.skip_init(torch.nn.Linear, 4, 6)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in self.net.parameters():
                parameter.copy_(torch.rand(parameter.shape, generator=generator))

    def forward(self, x):
        return torch.tanh(self.net(x)) * self.g


def go_on(model, **networks):
    """A warm start of a copy with other networks."""
    return copy.deepcopy(model).set_params(warm_start=True, **networks).fit(X)


@pytest.mark.parametrize("origin", ["fitted", "loaded", "pickled"])
def test_warm_starts_refuse_other_networks(origin, path):
    networks = {"encoder": Scaled(), "decoder": torch.nn.Linear(2, 4)}
    model = small(VaDEClustering, **networks).fit(X)
    if origin == "loaded":
        model.save(path)
        model = load(path, **networks)
    if origin == "pickled":
        model = pickle.loads(pickle.dumps(model))
    for other, named in (
        ({"encoder": Scaled(g=-30.0)}, "encoder differs"),
        ({"encoder": Scaled(seed=1)}, "encoder differs"),
        ({"encoder": Tied()}, "encoder differs"),
        ({"encoder": None}, "encoder differs"),
        ({"decoder": torch.nn.Linear(2, 4)}, "decoder differs"),
        ({"encoder": None, "decoder": None}, "encoder and decoder differs"),
    ):
        changed = copy.deepcopy(model).set_params(warm_start=True, **other)
        before = dict(vars(changed))
        message = f"{named} from what .*; set it back, or set warm_start=False"
        with pytest.raises(ValueError, match=message):
            changed.fit(X)
        after = vars(changed)
        assert after.keys() == before.keys()
        assert all(after[name] is before[name] for name in before)
    assert_equal(go_on(model, encoder=Scaled()), go_on(model))


def test_warm_starts_without_networks_of_users_refuse_them(models):
    with pytest.raises(ValueError, match="encoder differs"):
        go_on(models[VaDEClustering], encoder=Scaled())


def test_warm_starts_with_networks_that_were_passed_to_load(path):
    """Their weights are those of the file, whatever those of the passed ones are."""
    small(VaDEClustering, encoder=Scaled()).fit(X).save(path)
    loaded = load(path, encoder=Scaled(seed=1))
    assert_equal(go_on(loaded), go_on(load(path, encoder=Scaled())))
    with pytest.raises(ValueError, match="encoder differs"):
        go_on(loaded, encoder=Scaled())


def test_networks_that_nobody_can_name_are_fitted():
    """They are told by their class, so that others are refused."""
    model = small(VaDEClustering, encoder=Scaled(function=lambda x: x)).fit(X)
    assert_equal(go_on(model, encoder=Scaled(function=lambda x: 2 * x)), go_on(model))
    for other in (Scaled(), Tied(), None):
        with pytest.raises(ValueError, match="encoder differs"):
            go_on(model, encoder=other)


def test_pickles_of_older_versions_go_on():
    model = small(VaDEClustering, encoder=Scaled()).fit(X)
    del model._templates
    assert_equal(go_on(model), go_on(small(VaDEClustering, encoder=Scaled()).fit(X)))
    with pytest.raises(ValueError, match="encoder differs"):
        go_on(model, encoder=None)


# ------------------------------------------------------------------------------ other files


def test_files_of_other_kinds(models, path):
    with pytest.raises(FileNotFoundError):
        load(path)
    container.write(path, "checkpoint", contents_of(models[VaDEClustering]))
    with pytest.raises(ValueError, match="holds a 'checkpoint', not a 'model'"):
        load(path)


def test_pickles_are_not_opened(path):
    class Attack:
        def __reduce__(self):
            return os.mkdir, (str(path) + ".attacked",)

    for write in (pickle.dump, torch.save):
        with path.open("wb") as file:
            write(Attack(), file)
        with pytest.raises(ValueError, match="is not a safetensors file"):
            load(path)
    assert list(path.parent.iterdir()) == [path]


def forge(model, path, change):
    """A file with other contents and a right digest."""
    contents = copy.deepcopy(contents_of(model))
    change(contents)
    container.write(path, "model", contents)


@pytest.mark.parametrize(
    "name", ["os.system", "BaseDeepModel", "KMeans", "", 3, ["VaDEClustering"]]
)
def test_other_classes(name, models, path):
    forge(models[VaDEClustering], path, lambda contents: contents.update({"class": name}))
    with pytest.raises(ValueError, match=r"is of the class|it was altered|was altered"):
        load(path)


def setter(place, *keys, value):
    def change(contents):
        for key in (place, *keys)[:-1]:
            contents = contents[key]
        contents[(place, *keys)[-1]] = value

    return change


def claim(n_clusters, latent_dim, n_features):
    """Sizes of which one is nothing, so that arrays of no bytes have them all."""

    def change(contents):
        K, L, D = n_clusters, latent_dim, n_features
        fitted = contents["fitted"]
        fitted.update(
            n_features_in_=D,
            means_=np.zeros((K, L)),
            cluster_centers_=np.zeros((K, D)),
            cluster_sizes_=np.zeros(K, int),
            weights_=np.zeros(K),
            _noise=np.zeros((0 if D or L else 5, L)),
        )
        fitted["_units"] = {"shift": 0.0, "scale": 1.0}
        fitted["_summary"]["n_features"] = D
        fitted["_shaped_by"].update(n_clusters=max(K, 1), latent_dim=max(L, 1))
        fitted["latent_dim_"] = L

    return change


SHAPE, SIZES = ("fitted", "_shaped_by"), ("fitted", "hidden_layer_sizes_")
ALIKE = "mixture and start"
COMPARED = {"kept": 1.0, "worst cut": 0.0, "value": 1.0, "leaving": [0, 0.0, 1], "others": {}}
FORGERIES = [
    (setter("class", value="DCNClustering"), "DCNClustering has no parameters"),
    (setter("class", value="VaDEClassifier"), "does not hold"),
    (setter(*SIZES, value=(10**9,)), "tensors do not fit"),
    (setter(*SIZES, value=(10**9, 10**9)), "tensors do not fit"),
    (setter(*SIZES, value=(1,) * 10**6), "fewer tensors than hidden_layer"),
    (setter(*SIZES, value=(2.5,)), "are not the widths of layers"),
    (setter(*SIZES, value=(0,)), "are not the widths of layers"),
    (setter(*SIZES, value=8), "hidden_layer_sizes_ is not of type tuple"),
    (setter("fitted", "_linear_path", value=False), "encoder.body.0.weight is absent"),
    (setter("fitted", "_linear_path", value=1), "_linear_path is not of type bool"),
    (setter(*SHAPE, "hidden_layer_sizes", value=[2.5]), "'hidden_layer_sizes' parameter must be"),
    (setter(*SHAPE, "hidden_layer_sizes", value="os"), "hidden_layer_sizes"),
    (setter("fitted", "latent_dim_", value=10**9), "latent_dim_=1000000000 is not that"),
    (setter(*SHAPE, "activation", value="__import__"), "'activation' parameter"),
    (setter(*SHAPE, "covariance_type", value="diag"), "covariance.below is .* in the file"),
    (setter(*SHAPE, "reg_covar", value=-1.0), "'reg_covar' parameter"),
    (setter("fitted", "means_", value=np.zeros((10**6, 2))), "which should be"),
    (setter("fitted", "means_", value=np.zeros(6)), "means_ is not an array"),
    (setter("fitted", "means_", value=torch.zeros(3, 2)), "means_ is not an array"),
    (setter("fitted", "n_features_in_", value=10**9), "which should be"),
    (setter("fitted", "n_features_in_", value="4"), "n_features_in_ is not of type int"),
    (setter("fitted", "likelihood_", value="os"), "'os' is not a likelihood"),
    (setter("fitted", "likelihood_", value="negative_binomial"), "likelihood.log_dispersion"),
    (setter("fitted", "predict", value="x"), "attribute 'predict', which no fit sets"),
    (setter("fitted", "__class__", value="x"), "attribute '__class__', which no fit sets"),
    (setter("fitted", "_units", value={"shift": np.zeros(3), "scale": 1.0}), "shift is of shape"),
    (setter("fitted", "_units", value={"shift": "x", "scale": 1.0}), "shift is not an array"),
    (setter("fitted", "_units", value={"shift": 0.0, "scale": "1"}), "scale is not an array"),
    (setter("fitted", "_scale", value=None), "_scale is not of type float"),
    (setter("fitted", "_comparison", value={"kept": 1.0}), "does not hold what a model needs"),
    (setter("fitted", "_comparison", value={**COMPARED, "kept": "x"}), "has no measures"),
    (setter("fitted", "_comparison", value={**COMPARED, "leaving": [9, 0.5, 0]}), "no cluster"),
    (setter("fitted", "_comparison", value={**COMPARED, ALIKE: "x"}), "has no measures"),
    (setter("fitted", "_noise_from", value="x"), "_noise_from is not of type float"),
    (setter("fitted", "_noise_from", value=0.0), "noise is no share"),
    (setter("fitted", "_noise_from", value=float("nan")), "noise is no share"),
    (setter("fitted", "doubt_", value=1.0), "doubt_ is no share"),
    (setter("fitted", "doubt_", value=-0.1), "doubt_ is no share"),
    (setter("fitted", "doubt_", value=float("nan")), "doubt_ is no share"),
    (setter("fitted", "_dtype", value="object"), "does not hold what a model needs"),
    (setter("fitted", "_supplied", value=("os",)), "does not hold what a model needs"),
    (setter("fitted", "_units", value={"os": 0.0}), "does not hold what a model needs"),
    (setter("fitted", "_summary", "n_features", value=5), "its summary"),
    (setter("fitted", "history_", value=[{"phase": "x"}]), "does not hold what a model needs"),
    (setter("fitted", "history_", 0, "loss", value="x"), "history_ is not a list of records"),
    (claim(0, 2, 3 * 10**8), r"means_ is of shape \(0, 2\), which has no entries"),
    (claim(0, 2, 10**13), "which has no entries"),
    (claim(0, 10**9, 4), "which has no entries"),
    (claim(3, 0, 4), "which has no entries"),
    (claim(3, 2, 0), "which has no entries"),
    (setter("fitted", "labels_", value=np.zeros(0, int)), "labels_ .* which has no entries"),
    (setter("fitted", "_noise", value=np.zeros((0, 2))), "_noise .* which has no entries"),
    (setter("fitted", "feature_names_in_", value=np.array([], object)), "which has no entries"),
    (setter(*SHAPE, "hidden_layer_sizes", value=np.zeros((2**40, 0), int)), "hidden_layer_sizes"),
    (setter("requests", value={"os": {}}), "requests of metadata are none"),
    (setter("requests", value={"fit": {"checkpoint": ["os"]}}), "requests of metadata are none"),
    (setter("requests", value={"fit": {"os": True}}), "does not hold what a model needs"),
    (setter("requests", value=["fit"]), "does not hold what a model needs"),
    (setter("parameters", "os", value="x"), r"has no parameters \['os'\]"),
    (setter("modules", value=["os"]), "does not hold what a model needs"),
    (setter("module", value={}), "fewer tensors|tensors do not fit"),
    (setter("module", "encoder.body.0.weight", value=torch.zeros(8, 5)), "tensors do not fit"),
    (setter("module", "encoder.body.0.weight", value=torch.zeros(8, 4).double()), "float64"),
    (setter("module", "encoder.body.0.weight", value=np.zeros((8, 4), "f4")), "is ndarray in"),
    (setter("module", "os.system", value=torch.zeros(1)), "os.system is float32 .* absent in"),
    (setter("random_state", value={"bit_generator": "PCG64"}), "does not hold what a model needs"),
]


@pytest.mark.parametrize(("change", "message"), FORGERIES)
def test_forged_contents(change, message, models, path):
    forge(models[VaDEClustering], path, change)
    with pytest.raises(ValueError, match=message) as caught:
        load(path)
    assert str(caught.value).startswith(str(path))
    assert len(str(caught.value)) < 2000


def test_forged_random_states(path):
    """numpy reads the key of its generator at any position that it is given."""
    model = small(VaDEClustering, random_state=np.random.RandomState(0)).fit(X)
    for change in (
        setter("random_state", "state", "pos", value=10**6),
        setter("random_state", "state", "pos", value=-1),
        setter("random_state", "state", "key", value=np.zeros(3, np.uint32)),
    ):
        forge(model, path, change)
        with pytest.raises(ValueError, match="random_state is not a state of MT19937"):
            load(path)


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are Linux's")
def test_forged_sizes_take_no_memory(models, path):
    """In a process that has hardly more memory than it needs."""
    paths = [str(path.with_suffix(f".{i}")) for i in range(len(FORGERIES))]
    for target, (change, _) in zip(paths, FORGERIES, strict=True):
        forge(models[VaDEClustering], target, change)
    models[VaDEClustering].save(path)
    script = f"""
import skvade
from benchmarks.fuzz_files import limit_memory
skvade.load({str(path)!r})
limit_memory(2**26)
for path in {paths!r}:
    try:
        skvade.load(path)
    except ValueError:
        print("refused")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.split() == ["refused"] * len(paths), done.stderr


def test_mutated_files_are_equal_or_refused(tmp_path, monkeypatch):
    summary = fuzz_files.run(400, seed=0, folder=tmp_path)
    assert summary.startswith("400 mutations")
    equal, refused = (int(part.split()[-2]) for part in summary.split(":")[1].split(",")[:2])
    assert equal + refused > 300


def test_mutations_without_a_change_give_the_same_file(models, path):
    models[VaDEClustering].save(path)
    data = path.read_bytes()
    assert join(*split(data)) == data
    rng = random.Random(0)
    header, _ = split(data)
    content = json.loads(header[METADATA]["content"])
    before = copy.deepcopy(content)
    fuzz_files.edit(content, rng)
    assert content != before


# ------------------------------------------------------------------------------ for ever


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize("folder", sorted(FOLDER.parent.glob("format_*")), ids=lambda f: f.name)
def test_files_of_all_formats_load_for_ever(folder, name):
    """Written by `python -m tests.data.write_models` when the format was new."""
    model = load(folder / f"{name}.safetensors")
    assert type(model) is ESTIMATORS[name]
    expected = np.load(folder / "expected.npz")
    rows = pd.DataFrame(expected["X"], columns=list("abcd"))
    checked = 0
    for method, values in outputs(model, rows).items():
        known = expected[f"{name}.{method}"]
        if known.dtype.kind == "f":
            np.testing.assert_allclose(values, known, rtol=1e-6, atol=1e-9)
        else:
            np.testing.assert_array_equal(values, known)
        checked += 1
    assert checked >= 3
    assert "150 rows, 4 features" in str(model.report())


def test_every_parameter_of_load_is_documented():
    for name in inspect.signature(load).parameters:
        assert name in load.__doc__
