"""A fit that was cut off goes on, and ends as it would have without."""

import errno
import pickle
from functools import partial

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.datasets import load_iris, make_moons
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from torch import nn

from skvade import DECClustering, M2Clustering, VaDEClassifier, VaDEClustering, load
from skvade.persistence import container, fingerprint
from skvade.persistence.checkpoint import Checkpoint
from skvade.training import trainer
from tests import conftest
from tests.conftest import FAMILY

X, Y = load_iris(return_X_y=True)
Y = np.where(np.arange(len(Y)) % 3, -1, Y)


class Crash(BaseException):
    """What no code expects."""


small = partial(conftest.small, pretrain_iter=6, batch_size=32)
pytestmark = pytest.mark.usefixtures("quiet")


def crash_after(monkeypatch, n_states):
    """Let the process seem to die after so many states were kept."""
    kept, write = [], Checkpoint._write

    def write_and_die(self, runs):
        write(self, runs)
        kept.append(len(runs))
        if len(kept) > n_states:
            raise Crash

    monkeypatch.setattr(Checkpoint, "_write", write_and_die)


def crash(estimator, X, path, n_states):
    """Fit until a crash."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        crash_after(monkeypatch, n_states)
        with pytest.raises(Crash):
            estimator.fit(X, checkpoint=path, checkpoint_interval=0)


def fit_with_crashes(estimator, X, y, path, n_states=3):
    """Fit to the end, with a crash after every few states; the number of crashes beside it."""
    for n_crashes in range(1_000):
        resumed = clone(estimator)  # what a new process has
        with pytest.MonkeyPatch.context() as monkeypatch:
            crash_after(monkeypatch, n_states)
            try:
                return resumed.fit(X, y, checkpoint=path, checkpoint_interval=0), n_crashes
            except Crash:
                assert not hasattr(resumed, "module_")
    raise AssertionError("the fit makes no progress")


def outcome(model, X):
    """Every fitted number."""
    module = {name: t.cpu().numpy() for name, t in model.module_.state_dict().items()}
    return {
        "proba": model.predict_proba(X),
        "labels": model.labels_,
        "centers": model.cluster_centers_,
        "history": model.history_,
        "scores": model.score_samples(X) if hasattr(model, "score_samples") else None,
        "rest": [model.converged_, model.mutual_information_, model.restart_agreement_],
        "kept in later fits": [model._stays, model._codes_fixed],
        **module,
    }


def assert_same(model, other, X=X):
    np.testing.assert_equal(outcome(model, X), outcome(other, X))


@pytest.mark.parametrize("cls", FAMILY)
def test_a_fit_with_crashes_ends_bit_identical(cls, tmp_path):
    estimator = small(cls, init="auto")
    resumed, n_crashes = fit_with_crashes(estimator, X, Y, tmp_path / "fit", n_states=2)
    assert n_crashes >= 5
    assert_same(resumed, clone(estimator).fit(X, Y))


class Dropping(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 16))

    def forward(self, x):
        return self.net(x)


torch.manual_seed(0)
VARIANTS = {
    "restarts": {"n_init": 3},
    "early stopping": {"early_stopping": True, "validation_fraction": 0.3},
    "dropout": {"encoder": Dropping()},
    "bfloat16": {"precision": "bfloat16"},
    "no neighbours": {"neighbor_weight": 0},
    "long epochs": {"batch_size": 4, "pretrain_iter": 1, "max_iter": 2},
    "any clusterer": {"init": KMeans(3, n_init=1)},
    "held less and less": {"adversarial_iter": 12},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_whatever_else_is_asked_for(variant, tmp_path):
    estimator = small(VaDEClustering, **VARIANTS[variant])
    resumed, n_crashes = fit_with_crashes(estimator, X, Y, tmp_path / "fit", n_states=4)
    assert n_crashes >= 2
    assert_same(resumed, clone(estimator).fit(X))


def test_a_target_beside_held_out_rows(tmp_path):
    estimator = small(DECClustering, update_interval=2, early_stopping=True)
    resumed, _ = fit_with_crashes(estimator, X, None, tmp_path / "fit")
    assert_same(resumed, clone(estimator).fit(X))


def test_a_falling_temperature_and_sparse_rows(tmp_path):
    estimator, rows = small(M2Clustering, marginalization="gumbel"), sp.csr_array(X)
    resumed, _ = fit_with_crashes(estimator, rows, None, tmp_path / "fit")
    assert_same(resumed, clone(estimator).fit(rows))


def test_a_warm_start_goes_on_from_the_model_that_it_began_with(tmp_path):
    first = small(VaDEClustering, warm_start=True).fit(X)
    plain = pickle.loads(pickle.dumps(first)).fit(X)
    crash(first, X, tmp_path / "fit", n_states=2)
    assert_same(first.fit(X, checkpoint=tmp_path / "fit", checkpoint_interval=0), plain)


@pytest.mark.parametrize("cls", [VaDEClustering, DECClustering])
@pytest.mark.parametrize("held_out", [False, True])
def test_a_partition_that_stays_is_kept(cls, held_out, tmp_path):
    """It counts beside the last phase's objective, and target, of the rows that are trained on."""
    moons, y = make_moons(120, noise=0.05, random_state=0)
    given = {"init": y, "early_stopping": held_out, "validation_fraction": 0.3}
    estimator = small(cls, 2, max_iter=6, **given)
    resumed, n_crashes = fit_with_crashes(estimator, moons, None, tmp_path / "fit", n_states=6)
    assert n_crashes >= 2
    plain = clone(estimator).fit(moons)
    assert {"labels"} < {record["phase"] for record in plain.history_}
    assert all(record["labels"] for record in plain.history_ if record["phase"] == "train")
    assert_same(resumed, plain, moons)
    plain.set_params(warm_start=True, init="auto")
    again = pickle.loads(pickle.dumps(plain)).fit(moons)
    crash(plain, moons, tmp_path / "warm", n_states=4)
    plain.fit(moons, checkpoint=tmp_path / "warm", checkpoint_interval=0)
    assert_same(plain, again, moons)


def test_fresh_entropy_is_kept(tmp_path):
    estimator = small(VaDEClustering, random_state=None)
    crash(clone(estimator), X, tmp_path / "fit", n_states=1)
    copy = tmp_path / "copy"
    copy.write_bytes((tmp_path / "fit").read_bytes())
    fits = [clone(estimator).fit(X, checkpoint=path) for path in (tmp_path / "fit", copy)]
    assert_same(*fits)


def test_a_finished_fit_is_not_repeated(tmp_path, monkeypatch):
    estimator = small(VaDEClustering, n_init=2)
    first = clone(estimator).fit(X, checkpoint=tmp_path / "fit")
    monkeypatch.setattr(trainer, "optimise", None)
    assert_same(clone(estimator).fit(X, checkpoint=str(tmp_path / "fit")), first)


@pytest.mark.parametrize("given", [{"init": Y % 2}, {"adversarial_iter": 2}])
def test_a_finished_fit_knows_what_later_ones_keep(given, tmp_path):
    apart = X + 20 * (Y % 2)[:, np.newaxis]
    estimator = small(VaDEClustering, 2, **given)
    first, again = (clone(estimator).fit(apart, checkpoint=tmp_path / "fit") for _ in range(2))
    assert first._stays or first._codes_fixed
    assert_same(first, again, apart)


def test_states_are_kept_at_intervals_and_at_the_end(tmp_path, monkeypatch):
    written, write = [], Checkpoint._write
    monkeypatch.setattr(
        Checkpoint, "_write", lambda self, runs: (written.append(1), write(self, runs))
    )
    small(VaDEClustering).fit(X, checkpoint=tmp_path / "fit", checkpoint_interval=1e6)
    assert len(written) == 2


@pytest.mark.parametrize(
    "change, message",
    [
        ({"latent_dim": 2}, "latent_dim was 3 and is 2"),
        ({"init": np.zeros(150, int)}, "init differs"),
    ],
)
def test_other_parameters_are_refused(change, message, tmp_path):
    small(VaDEClustering).fit(X, checkpoint=tmp_path / "fit")
    before = (tmp_path / "fit").read_bytes()
    other = small(VaDEClustering, **change)
    with pytest.raises(ValueError, match=f"another fit: {message}. Name another file"):
        other.fit(X, checkpoint=tmp_path / "fit")
    assert (tmp_path / "fit").read_bytes() == before


def test_other_data_labels_and_classes_are_refused(tmp_path):
    small(VaDEClassifier).fit(X, Y, checkpoint=tmp_path / "fit")
    other = X.copy()
    other[0, 0] += 1
    for args, message in (((other, Y), "X differs"), ((X, Y % 3), "y differs")):
        with pytest.raises(ValueError, match=message):
            small(VaDEClassifier).fit(*args, checkpoint=tmp_path / "fit")
    with pytest.raises(ValueError, match="class was 'VaDEClassifier' and is 'VaDEClustering'"):
        small(VaDEClustering).fit(X, checkpoint=tmp_path / "fit")


def test_parameters_that_change_no_number_may_differ(tmp_path):
    first = small(VaDEClustering).fit(X, checkpoint=tmp_path / "fit")
    again = small(VaDEClustering, verbose=1, device="cpu").fit(X, checkpoint=tmp_path / "fit")
    assert_same(again, first)


@pytest.mark.parametrize(
    "given, error, message",
    [
        ({"checkpoint": 3}, TypeError, "checkpoint must be a path.* got 3 of type int"),
        ({"checkpoint": "a", "checkpoint_interval": -1}, ValueError, "of at least 0, got -1"),
        ({"checkpoint": "a", "checkpoint_interval": "1"}, ValueError, "of at least 0, got '1'"),
        ({"checkpoint": "no/such/folder"}, OSError, "name a file in a folder that exists"),
        ({"checkpoint": "."}, ValueError, "checkpoint='.' is not the name of a file"),
        ({"checkpoint": ""}, ValueError, "checkpoint='' is not the name of a file"),
    ],
)
def test_bad_arguments_are_named_before_training(given, error, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(trainer, "optimise", None)
    with pytest.raises(error, match=message):
        small(VaDEClustering).fit(X, **given)


def test_a_file_that_is_no_checkpoint_is_refused_and_left(tmp_path):
    (tmp_path / "fit").write_bytes(b"my thesis")
    with pytest.raises(ValueError, match=r"cannot be taken up: .* Name another file, or remove"):
        small(VaDEClustering).fit(X, checkpoint=tmp_path / "fit")
    assert (tmp_path / "fit").read_bytes() == b"my thesis"


def test_ctrl_c_leaves_the_estimator_and_a_usable_checkpoint(tmp_path, monkeypatch):
    model = small(VaDEClustering, random_state=1).fit(X)
    before = outcome(model, X)
    model.set_params(random_state=0)

    def interrupt(self, state, last=False):
        keep(self, state, last)
        if state["n_done"] == 3:
            raise KeyboardInterrupt

    keep = Checkpoint.keep
    with monkeypatch.context() as context:
        context.setattr(Checkpoint, "keep", interrupt)
        with pytest.raises(KeyboardInterrupt):
            model.fit(X, checkpoint=tmp_path / "fit", checkpoint_interval=0)
    np.testing.assert_equal(outcome(model, X), before)
    resumed = model.fit(X, checkpoint=tmp_path / "fit")
    assert_same(resumed, small(VaDEClustering).fit(X))


def test_a_full_disk_does_not_end_the_fit(tmp_path, monkeypatch):
    write = container.write
    calls = []

    def full(path, kind, content):
        calls.append(path)
        if len(calls) in (3, 4):
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, kind, content)

    monkeypatch.setattr(container, "write", full)
    with pytest.warns(RuntimeWarning, match="could not be written .*No space left"):
        model = small(VaDEClustering).fit(X, checkpoint=tmp_path / "fit", checkpoint_interval=0)
    assert_same(model, small(VaDEClustering).fit(X))


def test_a_write_that_fails_waits_for_the_next_interval(tmp_path, monkeypatch):
    write = container.write
    calls = []

    def full(path, kind, content):
        calls.append(path)
        if len(calls) > 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, kind, content)

    monkeypatch.setattr(container, "write", full)
    with pytest.warns(RuntimeWarning, match="could not be written"):
        small(VaDEClustering).fit(X, checkpoint=tmp_path / "fit", checkpoint_interval=1e6)
    assert len(calls) == 2


def test_a_refused_call_leaves_no_file(tmp_path):
    with pytest.raises(ValueError, match="Negative values"):
        small(VaDEClustering, likelihood="poisson").fit(X - 5, checkpoint=tmp_path / "fit")
    assert not list(tmp_path.iterdir())


def test_the_same_call_may_pass_equal_values_in_other_containers(tmp_path):
    first = small(VaDEClustering).fit(X, checkpoint=tmp_path / "dense")
    given = {"latent_dim": np.int64(3), "hidden_layer_sizes": [16]}
    for same in (np.asfortranarray(X), pd.DataFrame(X), np.repeat(X, 2, axis=0)[::2]):
        model = small(VaDEClustering, **given).fit(same, checkpoint=tmp_path / "dense")
        assert model.history_ == first.history_
    rows = sp.csr_array(X)
    small(VaDEClustering).fit(rows, checkpoint=tmp_path / "sparse")
    assert rows.has_canonical_format  # which scipy then remembers
    small(VaDEClustering).fit(rows, checkpoint=tmp_path / "sparse")


def test_a_random_state_is_put_back_after_an_interruption(tmp_path):
    rng = np.random.RandomState(5)
    estimator = small(VaDEClustering, random_state=rng)
    with pytest.MonkeyPatch.context() as monkeypatch:
        crash_after(monkeypatch, 2)
        with pytest.raises(Crash):
            estimator.fit(X, checkpoint=tmp_path / "fit", checkpoint_interval=0)
    resumed = estimator.fit(X, checkpoint=tmp_path / "fit")
    again = np.random.RandomState(5)
    assert_same(resumed, small(VaDEClustering, random_state=again).fit(X))
    assert rng.randint(10**9) == again.randint(10**9)


def test_networks_of_any_dtype_have_an_identity(tmp_path):
    encoder = Dropping()
    encoder.register_buffer("unused", torch.zeros(2, dtype=torch.bfloat16))
    encoder.register_buffer("count", torch.tensor(3))
    small(VaDEClustering, encoder=encoder).fit(X, checkpoint=tmp_path / "fit")
    encoder.count += 1
    with pytest.raises(ValueError, match="encoder differs"):
        small(VaDEClustering, encoder=encoder).fit(X, checkpoint=tmp_path / "fit")


class Gain(nn.Module):
    """With what is no parameter, but decides what comes out."""

    def __init__(self, g=1.0, function=torch.tanh):
        super().__init__()
        self.net, self.g, self.function = nn.Linear(4, 8), g, function

    def forward(self, x):
        return self.function(self.net(x)) * self.g


def test_attributes_of_networks_are_part_of_the_identity(tmp_path):
    torch.manual_seed(0)
    networks = [Gain(), Gain(-30.0), Gain(function=torch.sin)]
    for network in networks[1:]:
        network.net = networks[0].net
    small(VaDEClustering, encoder=networks[0]).fit(X, checkpoint=tmp_path / "fit")
    before = (tmp_path / "fit").read_bytes()
    for network in networks[1:]:
        with pytest.raises(ValueError, match="another fit: encoder differs"):
            small(VaDEClustering, encoder=network).fit(X, checkpoint=tmp_path / "fit")
    assert (tmp_path / "fit").read_bytes() == before
    same = pickle.loads(pickle.dumps(networks[0]))
    small(VaDEClustering, encoder=same).fit(X, checkpoint=tmp_path / "fit")
    with pytest.raises(TypeError, match=r"(?s)cannot tell encoder=.*use named functions"):
        small(VaDEClustering, encoder=Gain(function=lambda x: x)).fit(X, checkpoint=tmp_path / "no")
    assert not (tmp_path / "no").exists()


class ByNetwork(KMeans):
    """A clusterer with a network in it, which is no clone's business."""

    def __init__(self, network=None, n_clusters=3, random_state=0):
        super().__init__(n_clusters, random_state=random_state)
        self.network = network

    def fit_predict(self, X, y=None):
        return super().fit_predict(X * self.network.g)


def test_networks_in_clusterers_are_part_of_the_identity(tmp_path):
    network = Gain()
    fits = [small(VaDEClustering, init=ByNetwork(network)) for _ in range(2)]
    fits[0].fit(X, checkpoint=tmp_path / "fit")
    fits[1].fit(X, checkpoint=tmp_path / "fit")
    network.g = -30.0
    with pytest.raises(ValueError, match="another fit: init differs"):
        fits[1].fit(X, checkpoint=tmp_path / "fit")


@pytest.mark.parametrize("name", ["skvade", "torch", "scikit-learn", "numpy", "scipy"])
def test_versions_are_part_of_the_identity(name, tmp_path, monkeypatch):
    small(VaDEClustering).fit(X, checkpoint=tmp_path / "fit")
    monkeypatch.setitem(fingerprint.VERSIONS, name, "0.1")
    with pytest.raises(ValueError, match=f"{name} was '.*' and is '0.1'"):
        small(VaDEClustering).fit(X, checkpoint=tmp_path / "fit")


def test_a_warm_start_of_a_loaded_model_is_the_same_fit(tmp_path):
    model = small(VaDEClustering, encoder=Gain(), warm_start=True).fit(X)
    model.save(tmp_path / "model")
    loaded = load(tmp_path / "model", encoder=model.encoder)
    copied = pickle.loads(pickle.dumps(model))
    model.fit(X, checkpoint=tmp_path / "fit")
    assert_same(loaded.fit(X, checkpoint=tmp_path / "fit"), model)
    assert_same(copied.fit(X, checkpoint=tmp_path / "fit"), model)


def test_what_cannot_be_recognised_is_named(tmp_path):
    init = make_pipeline(FunctionTransformer(lambda X: X), KMeans(3, n_init=1))
    with pytest.raises(TypeError, match=r"(?s)cannot tell init=.*use named functions"):
        small(VaDEClustering, init=init).fit(X, checkpoint=tmp_path / "fit")


def test_changing_the_folder_does_not_lose_the_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    keep = Checkpoint.keep

    def wander(self, state, last=False):
        monkeypatch.chdir(tmp_path / "elsewhere")
        keep(self, state, last)

    monkeypatch.setattr(Checkpoint, "keep", wander)
    small(VaDEClustering).fit(X, checkpoint="fit", checkpoint_interval=0)
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["fit"]
    assert not list((tmp_path / "elsewhere").iterdir())


def test_random_states_of_the_caller_stay(tmp_path):
    torch.manual_seed(3)
    np.random.seed(3)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    small(VaDEClustering).fit(X, checkpoint=tmp_path / "fit", checkpoint_interval=0)
    torch.testing.assert_close(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])


def test_pipelines_pass_it_on(tmp_path):
    pipeline = make_pipeline(StandardScaler(), small(VaDEClustering))
    pipeline.fit(X, vadeclustering__checkpoint=tmp_path / "fit")
    assert (tmp_path / "fit").exists()
    labels = small(VaDEClustering).fit_predict(X, checkpoint=tmp_path / "other")
    assert labels.shape == (150,)
    assert (tmp_path / "other").exists()


class Interrupt:
    """A callback that ends the fit in the second pass of a phase."""

    def __init__(self, phase):
        self.phase, self.n_seen = phase, 0

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context, **kwargs):
        if context.task_name == "epoch" and context.parent.task_name == self.phase:
            self.n_seen += 1
            if self.n_seen == 2:
                raise KeyboardInterrupt


@pytest.mark.parametrize("phase", ["pretrain", "neighbours", "adversarial", "train"])
def test_a_fit_goes_on_without_the_callback_that_ended_it(phase, tmp_path):
    pytest.importorskip("sklearn.callback", reason="callbacks came with scikit-learn 1.9")
    given = {"checkpoint": tmp_path / "state", "checkpoint_interval": 0.0}
    estimator = small(VaDEClustering, adversarial_iter=4)
    with pytest.raises(KeyboardInterrupt):
        clone(estimator).set_callbacks(Interrupt(phase)).fit(X, **given)
    assert_same(clone(estimator).fit(X, **given), clone(estimator).fit(X))
