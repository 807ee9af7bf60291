"""Several processes train one model as one process would. All of these are real ones."""

import os
import re

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits, make_blobs
from sklearn.metrics import adjusted_rand_score

from skvade import VaDEClustering, distributed
from skvade.objectives.neighbours import embedding_losses
from tests.distributed import cases
from tests.distributed.processes import run, start
from tests.server import wait

SHARED = ("digest", "sizes", "information", "history", "bound", "report", "classes")


# Each of these starts processes of its own, which takes some seconds; `make distributed` runs all.
LONG = pytest.mark.skipif("SKVADE_LONG" not in os.environ, reason="make distributed runs it")


def same(found):
    """All processes have the same model, and know the same of it."""
    for name in SHARED:
        assert all(of_each[name] == found[0][name] for of_each in found), name


def in_order(found, name="labels"):
    """What the processes have of their rows, in the order of the rows."""
    values = np.concatenate([of_each[name] for of_each in found])
    numbers = np.concatenate([of_each["numbers"] for of_each in found])
    return values[np.argsort(numbers)]


@pytest.mark.parametrize("how", [pytest.param("random", marks=LONG), "sorted"])
def test_two_processes_find_what_one_does(how):
    found = run(2, "default", how=how)
    same(found)
    labels = in_order(found)
    alone = VaDEClustering(10, random_state=0, precision="float32").fit(cases.X)
    assert adjusted_rand_score(cases.Y, labels) > adjusted_rand_score(cases.Y, alone.labels_) - 0.05
    assert np.bincount(labels).tolist() == found[0]["sizes"]
    elsewhere = re.search(r"processes +2; (.*)% of the nearest", found[0]["report"])
    assert 0 < float(elsewhere[1]) < 10
    assert [r["phase"] for r in alone.history_][-1] == "train"
    # Five seeds of one process are from -38.7 to -35.4.
    assert found[0]["bound"] == pytest.approx(alone.lower_bound_, abs=4.0)


def test_a_group_of_one_is_a_fit_alone():
    alone = cases.digest(cases.small(VaDEClustering).fit(cases.X[:200]))
    assert run(1, "one") == [{"size": 1, "digest": alone}]


@pytest.mark.parametrize("memory", ["none", pytest.param("no room", marks=LONG)])
def test_memory_that_is_shared_changes_nothing(memory):
    shared, apart = (run(3, "fit", cls="VaDEClustering", memory=m) for m in ("shared", memory))
    assert shared == apart


def test_runs_are_repeated_to_the_bit():
    first, second = run(2, "fit", cls="VaDEClustering"), run(2, "fit", cls="VaDEClustering")
    assert first == second


@pytest.mark.parametrize(
    "cls, parameters",
    [
        pytest.param("GMVAEClustering", {"early_stopping": True}, marks=LONG),
        ("DECClustering", {"n_init": 2}),
        ("VaDEClustering", {"adversarial_iter": 4}),
        pytest.param("DCNClustering", {}, marks=LONG),
        ("M2Clustering", {"n_clusters": "auto", "max_clusters": 12}),
        ("VaDEClassifier", {}),
        pytest.param("AuxiliaryTaskClassifier", {}, marks=LONG),
    ],
)
def test_the_family(cls, parameters):
    found = run(2, "fit", cls=cls, how="sorted", **parameters)
    same(found)
    for of_each in found:
        assert of_each["predicted"] == of_each["labels"]
    if "Classifier" in cls:  # each process has seen five or six of ten classes
        assert found[0]["classes"] == list(range(10))
        known = np.arange(len(cases.Y)) % 5 == 0
        assert (in_order(found) == cases.Y)[known].mean() > 0.5


def test_every_kind_of_table_and_a_group_that_was_there():
    found = run(2, "kinds")
    for name in ("sparse", "frame", "labels", "mixed", "few", "wide"):
        assert found[0][name] == found[1][name]
    assert found[0]["categories"] == found[1]["categories"] == "abcdefghij"
    assert found[0]["noise"] + found[1]["noise"] == 60


def test_statistics_are_those_of_all_rows():
    together, alone = run(3, "statistics"), run(1, "statistics")[0]
    for found in together:
        for name, of_table in alone.items():
            for key, values in of_table.items():
                np.testing.assert_allclose(
                    found[name][key], values, rtol=1e-5, atol=1e-8, err_msg=f"{name}, {key}"
                )


def test_means_of_clusters_are_those_of_all_rows():
    """Where a step sees as many rows of each process, of which the first has twice as many."""
    logs = torch.from_numpy(np.random.RandomState(0).normal(size=(12, 2))).requires_grad_()
    weights = torch.tensor([2.0, 1.0, 1.0], dtype=torch.float64).repeat_interleave(4) / 16
    (logs.softmax(-1) * weights[:, None]).sum(0).log().square().sum().backward()
    for found in run(3, "gradients"):
        np.testing.assert_allclose(found["c"], logs.grad, rtol=1e-10)


def test_strangers_come_from_everywhere():
    """Gradients are those of one process that has all the rows."""
    rng = np.random.RandomState(0)
    z, near = (torch.from_numpy(rng.normal(size=(12, 2))).requires_grad_() for _ in range(2))
    sum(embedding_losses(z, near)).backward()
    for found in run(3, "gradients"):
        np.testing.assert_allclose(found["a"], z.grad, rtol=1e-10)
        np.testing.assert_allclose(found["b"], near.grad, rtol=1e-10)


@pytest.mark.parametrize("memory", ["shared", "none"])
def test_each_process_moves_a_part_of_the_parameters(memory):
    (alone,), found = run(1, "steps"), run(4, "steps", memory=memory)
    for n_in, shares in {"1": [1, 1, 0, 0], "37": [352, 352, 352, 350]}.items():
        assert [of_each[f"own {n_in}"] for of_each in found] == shares
        for of_each in found:
            assert of_each[n_in] == found[0][n_in]
            np.testing.assert_allclose(of_each[n_in], alone[n_in], rtol=1e-4, atol=1e-6)


def test_an_error_of_one_is_an_error_of_all():
    found = run(2, "faults")
    assert found[0] == found[1]
    messages = found[0]
    assert messages["parameter"].startswith("ValueError: Process 1 of 2: The 'batch_size'")
    assert "Process 1 of 2: " in messages["rows"]
    assert "infinity" in messages["rows"]
    for name, text in [
        ("columns", "the same number of columns: process 0 has 60, process 1 has 61"),
        ("dtype", "the same dtype of X: process 0 has float64, process 1 has float32"),
        ("different", "the same tol: process 0 has 0.2, process 1 has 0.1"),
        ("labels", "Process 1 of 2: init has 3 labels"),
        ("y", "Process 1 of 2: VaDEClassifier requires y"),
        ("few", "ValueError: y has 10 classes, more than n_classes=2"),
        ("loss", "TrainingDivergedError: "),
        ("checkpoint", "checkpoint='/no/such/folder/fit' cannot be written"),
    ]:
        assert text in messages[name], (name, messages[name])
    assert "the same class: process 0 has" in messages["class"]


def test_rows_weigh_alike_wherever_they_are():
    for found in run(2, "uneven"):
        assert found["mean"] == pytest.approx(cases.X.mean(), rel=1e-12)
        assert found["shares"] == [50, 10]
        assert len(found["sizes"]) == 4
        assert found["sizes"] == sorted(found["sizes"], reverse=True)


@pytest.mark.parametrize("how", ["kill", pytest.param("fail", marks=LONG), "value"])
def test_others_are_told_when_one_ends(how):
    first, second = wait(start(2, "ends", how=how))
    assert first.code == 0, first.errors[-2000:]
    assert first.found["kind"] == "PeerError"
    assert "cannot reach the others" in first.found["message"]
    assert first.found["seconds"] < 60
    if how == "kill":
        assert second.code == 9
    else:
        kind = {"fail": "KeyError", "value": "ValueError"}[how]
        assert (second.code, second.found["kind"]) == (0, kind)


@pytest.mark.parametrize("end", [pytest.param(2, marks=LONG), 7])
def test_a_fit_goes_on_where_one_of_its_processes_was_killed(end, tmp_path):
    """To the bit, at whatever state; with all of them gone the file is the same."""
    whole = run(2, "resumed", path=str(tmp_path / "whole"))
    path = str(tmp_path / "cut")
    first, last = wait(start(2, "resumed", path=path, end=end))
    assert last.code < 0
    assert first.found["kind"] == "PeerError"
    again = run(2, "resumed", path=path)
    assert again[0]["kept"] < whole[0]["kept"]
    for before, after in zip(whole, again, strict=True):
        for name in (*SHARED, "labels"):
            assert before[name] == after[name], name
    assert len(list(tmp_path.glob("cut*"))) == 3  # a manifest and two parts


@LONG
def test_checkpoints_of_other_fits_are_refused(tmp_path):
    path = str(tmp_path / "fit")
    whole = run(2, "resumed", path=path)
    assert run(2, "resumed", path=path)[0]["digest"] == whole[0]["digest"]
    for n_processes, options, text in [
        (3, {}, "is that of 2 processes, and there are 3"),
        (2, {"how": "sorted"}, "is that of another fit: "),
        (2, {"more": 1}, "is that of another fit: max_iter"),
    ]:
        for found in run(n_processes, "resumed", path=path, **options):
            assert found["kind"] == "ValueError"
            assert text in found["message"]


def test_outside_of_a_group_every_fit_is_ones_own():
    found = run(2, "outside")
    for rank, of_each in enumerate(found):
        blobs, _ = make_blobs(200, centers=3, random_state=rank)
        assert of_each["digest"] == cases.digest(cases.small(VaDEClustering).fit(blobs))


@pytest.mark.parametrize("given", [{"backend": "mpi"}, {"timeout": 0}])
def test_bad_arguments_are_named(given):
    with pytest.raises(ValueError, match=next(iter(given))), distributed.group(**given):
        pass


def test_alone_a_group_changes_nothing():
    X, _ = load_digits(return_X_y=True)
    with distributed.group() as group:
        assert (group.rank, group.size, group.is_main) == (0, 1, True)
        inside = cases.small(VaDEClustering).fit(X[:200])
    assert cases.digest(inside) == cases.digest(cases.small(VaDEClustering).fit(X[:200]))
