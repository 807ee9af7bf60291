"""Virtual adversarial training: what it changes, what it leaves, and when it is left out."""

import copy

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits, make_circles
from sklearn.metrics import adjusted_rand_score
from torch import nn

from skvade import (
    ADGMClassifier,
    AuxiliaryTaskClassifier,
    GMVAEClustering,
    M2Classifier,
    M2Clustering,
    VaDEClassifier,
    VaDEClustering,
)
from skvade.objectives.adversarial import divergence, steepest
from skvade.training.phases import RestartClusters

X = (load_digits().data[:1_100] / 16).astype(np.float32)
Y = load_digits().target[:1_100]
OTHERS = [
    GMVAEClustering,
    M2Clustering,
    M2Classifier,
    ADGMClassifier,
    AuxiliaryTaskClassifier,
]


def small(n_clusters=10, **parameters):
    given = {"compare": False, "precision": "float32", "random_state": 0, **parameters}
    return VaDEClustering(n_clusters, **given)


def share_changed(model, length):
    """Of the rows, by a step of a length in the direction in which clusters change fastest."""
    module = model.module_.eval()

    def log_t(view):
        return module.tailed_logits(module.code_of(view)).log_softmax(-1)

    view = module.view(torch.from_numpy(X))
    with torch.no_grad():
        known = log_t(view)
    start = 0.01 * torch.randn(view.shape, generator=torch.Generator().manual_seed(0))
    moved = view + length * steepest(lambda rows: divergence(known, log_t(rows)), view, start)
    with torch.no_grad():
        return (log_t(moved).argmax(1) != known.argmax(1)).double().mean().item()


def test_clusters_change_less_near_a_row():
    models = [small(adversarial_iter=n_passes).fit(X) for n_passes in (0, 40)]
    without, with_it = (share_changed(model, 0.25) for model in models)
    assert with_it < 0.5 * without


def test_clusters_stay_what_they_were():
    """Unless they are held at first, one of ten is torn, and takes half of another's rows."""
    digits = (load_digits().data / 16).astype(np.float32)
    before, after = (small(adversarial_iter=n_passes).fit(digits).labels_ for n_passes in (0, 24))
    assert adjusted_rand_score(before, after) >= 0.95


def seen_afterwards(model, look):
    """What `look` finds in the run, once the clusters have started anew: filled by a fit."""
    make, seen = model._make_phases, []

    def with_a_look(facts):
        phases = make(facts)
        (place,) = (i for i, phase in enumerate(phases) if isinstance(phase, RestartClusters))

        class Look(RestartClusters):
            def run(self, run, seed):
                super().run(run, seed)
                seen.append(look(run))

        phases[place] = Look(**vars(phases[place]))
        return phases

    model._make_phases = with_a_look
    return seen


def test_codes_stay_as_the_phase_leaves_them():
    model = small(adversarial_iter=2)
    seen = seen_afterwards(model, lambda run: run.rows.map(run.model.eval().code).detach())
    codes = model.fit(X).transform(X)
    np.testing.assert_allclose(codes, seen[0].numpy(), atol=1e-4)
    assert model.history_[-1]["phase"] == "train"
    assert "attraction" not in model.history_[-1]  # it would move codes only
    assert "partition" in model.history_[-1]  # whose borders are those of the tails
    assert np.array_equal(model.labels_, model.predict(X))


def test_further_fits_leave_codes_and_clusters_as_they_are():
    model = small(adversarial_iter=2, warm_start=True).fit(X)
    codes, labels, weights = model.transform(X), model.labels_, model.weights_
    model.fit(X)
    np.testing.assert_allclose(model.transform(X), codes, atol=1e-4)
    assert adjusted_rand_score(labels, model.labels_) > 0.98
    assert not np.array_equal(np.sort(model.weights_), np.sort(weights))  # the mixture has learned
    model.partial_fit(X[:50])
    np.testing.assert_allclose(model.transform(X), codes, atol=1e-4)


@pytest.mark.parametrize("early_stopping", [False, True])
def test_statistics_of_own_networks_stay_with_the_codes(early_stopping):
    body = nn.Sequential(nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.2))
    model = small(adversarial_iter=1, warm_start=True, encoder=body, early_stopping=early_stopping)
    seen = seen_afterwards(model, lambda run: copy.deepcopy(run.model.encoder.state_dict()))
    after = model.fit(X[:400]).module_.encoder.state_dict()
    assert "running_mean" in " ".join(after)
    same = {name for name in after if torch.equal(after[name], seen[0][name])}
    assert {name for name in after if "running" in name} <= same
    codes = model.transform(X)
    model.fit(X[:300]).partial_fit(X[300:330])
    np.testing.assert_allclose(model.transform(X), codes, atol=1e-4)


def test_it_is_the_fit_that_decides_whether_codes_stay():
    model = small(adversarial_iter=0, warm_start=True, max_iter=2).fit(X[:300])
    codes = model.transform(X[:300])
    model.set_params(adversarial_iter=2).fit(X[:300])
    assert np.abs(model.transform(X[:300]) - codes).max() > 1e-3
    assert "adversarial" not in {record["phase"] for record in model.history_}
    fixed = small(adversarial_iter=1, warm_start=True, max_iter=2).fit(X[:300])
    codes = fixed.transform(X[:300])
    fixed.set_params(adversarial_iter=0).fit(X[:300])
    np.testing.assert_allclose(fixed.transform(X[:300]), codes, atol=1e-4)


def test_early_stopping_judges_what_is_taught():
    """Not the bound alone, by which the mixture would go back to where it was before."""
    model = small(adversarial_iter=2, early_stopping=True)

    def look(run):
        codes = run.rows.map(run.model.eval().code).detach()
        return run.handover.need_partition(), codes

    seen = seen_afterwards(model, look)
    model.fit(X)
    partition, codes = seen[0]
    assert len(codes) < len(X)  # some are held out
    rows = torch.cdist(codes, torch.from_numpy(model.transform(X))).argmin(1)
    assert adjusted_rand_score(partition, model.labels_[rows]) > 0.998  # .995 at the start


@pytest.mark.parametrize("cls", OTHERS)
def test_the_family_has_the_phase(cls):
    model = cls(adversarial_iter=2, precision="float32", random_state=0)
    if hasattr(model, "n_clusters"):
        model.set_params(n_clusters=10, compare=False).fit(X)
    else:
        some = np.random.RandomState(0).permutation(1_100) < 60
        model.fit(X, np.where(some, Y, -1))
    phases = [record["phase"] for record in model.history_]
    assert phases[-1] == "train"
    assert "adversarial" in phases
    assert np.array_equal(model.labels_, model.predict(X))
    assert adjusted_rand_score(Y, model.labels_) > 0.8


def test_labels_count():
    some = np.where(np.arange(1_100) < 30, Y, -1)
    model = VaDEClassifier(adversarial_iter=2, random_state=0).fit(X, some)
    (last,) = [r for r in model.history_ if r["phase"] == "adversarial"][-1:]
    assert set(last) >= {"smoothness", "uncertainty", "shares", "labels"}


def test_known_rows_start_in_their_clusters():
    """Whatever the tails say: the last phase is taught that partition."""
    some = np.where(np.arange(1_100) < 60, Y, -1)
    some[:6] = (some[:6] + 1) % 10  # which no tail would say
    model = VaDEClassifier(adversarial_iter=1, max_iter=1, precision="float32", random_state=0)
    seen = seen_afterwards(model, lambda run: run.handover.need_partition().numpy())
    model.fit(X[:500], some[:500])
    assert np.array_equal(seen[0][:60], some[:60])


def test_what_codes_learn_like_labels_has_no_such_phase():
    rings, y = make_circles(400, factor=0.4, noise=0.04, random_state=0)
    model = small(2, adversarial_iter=3).fit(rings)
    assert {record["phase"] for record in model.history_} == {"neighbours", "labels", "train"}
    assert len(set(zip(model.labels_, y, strict=True))) == 2


def test_neighbours_are_sought_for_it_alone_if_need_be():
    model = small(adversarial_iter=1, neighbor_weight=0, max_iter=1).fit(X)
    assert "adversarial" in {record["phase"] for record in model.history_}
    assert "attraction" not in {term for record in model.history_ for term in record}
