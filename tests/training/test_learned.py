"""When a phase that teaches a partition ends: models whose q(c|x) is as sure as they are told."""

import numpy as np
import pytest
import torch
from torch import nn

from skvade.training.batches import Rows
from skvade.training.learned import Learned
from skvade.training.run import Run
from tests.training.conftest import CPU, X


class Told(nn.Module):
    """Has each row in the cluster that its first value's sign says, with a given probability."""

    probability = 0.5

    def view(self, x):
        return x

    def memberships_of(self, x):
        own = (x[:, 0] > 0).long()
        q = torch.full((len(x), 2), 1 - self.probability)
        return q.scatter(1, own[:, None], self.probability)

    def row_bytes(self, n_features):
        return 8 * n_features


def begin(n_epochs=25, X=X):
    run, learned = Run(Told(), Rows(X), CPU, 0, []), Learned()
    run.handover.partition = torch.from_numpy(X[:, 0] > 0).long()
    learned.on_phase_begin(run, None, n_epochs)
    return run, learned


def ends_after(probabilities, n_epochs=25):
    """The passes after which a phase ends in which the model is so sure."""
    run, learned = begin(n_epochs)
    for number, probability in enumerate(probabilities, 1):
        run.model.probability = probability
        if learned.on_epoch_end(run, None, {"epoch": number}):
            return number
    return None


def test_what_is_known_ends_the_phase():
    assert ends_after([0.99] * 25) == 1
    assert ends_after([0.6, 0.9, 0.95, 0.99]) == 4
    assert ends_after([0.99] * 1_000, n_epochs=1_000) == 40


def test_rows_that_are_right_but_never_sure_end_it_when_nothing_is_gained():
    assert ends_after([0.97] * 25) == 6
    assert ends_after([0.6, 0.9, *[0.97] * 25]) == 8
    gains = [1 - 0.4 * 0.92**i for i in range(25)]
    assert ends_after(gains) is None


@pytest.mark.parametrize("probability", [0.0, 0.2, 0.49])
def test_rows_that_are_wrong_do_not(probability):
    assert ends_after([probability] * 25) is None


@pytest.mark.parametrize(("n_rows", "ends"), [(999, False), (1_000, True)])
def test_one_row_in_a_thousand_may_be_elsewhere(n_rows, ends):
    """Though all are sure enough in the mean: of 999 rows one is more than that."""
    run, learned = begin(X=np.resize(X, (n_rows, X.shape[1])))
    run.model.probability = 0.99
    learned.partition[7] = 1 - learned.partition[7]
    record = {"epoch": 1}
    assert learned.on_epoch_end(run, None, record) == ends
    assert record["missed"] < learned.bound


def test_one_wrong_row_of_few_is_enough():
    run, learned = begin()
    run.model.probability = 0.98
    learned.partition[7] = 1 - learned.partition[7]
    assert not any(learned.on_epoch_end(run, None, {"epoch": i}) for i in range(1, 26))


def test_the_state_that_changes_is_named():
    run, one = begin()
    run.model.probability = 0.97
    for number in range(1, 4):
        one.on_epoch_end(run, None, {"epoch": number})
    _, other = begin()
    other.restore(one.state())
    wants_end = [other.on_epoch_end(run, None, {"epoch": number}) for number in range(4, 7)]
    assert wants_end == [False, False, True]


def test_what_is_missed_is_the_mean_of_minus_log_q():
    run, learned = begin()
    run.model.probability, record = 0.7, {"epoch": 1}
    learned.on_epoch_end(run, None, record)
    assert record["missed"] == pytest.approx(-torch.tensor(0.7).log().item(), rel=1e-6)
