import math

import pytest

from skvade.training.plateau import Plateau


def ends_after(losses, n_epochs=None):
    """The passes after which a phase with these losses ends."""
    plateau = Plateau()
    plateau.on_phase_begin(None, None, n_epochs or len(losses))
    for number, loss in enumerate(losses, 1):
        if plateau.on_epoch_end(None, None, {"loss": loss}):
            return number
    return None


def test_a_loss_that_falls_goes_on():
    assert ends_after([100 - i for i in range(100)]) is None
    assert ends_after([math.exp(-i / 30) for i in range(100)]) is None


@pytest.mark.parametrize("flat", [0.0, -1e6, 1e-9])
def test_a_loss_that_is_flat_ends_the_phase_at_its_middle(flat):
    assert ends_after([flat] * 100) == 50


def test_a_loss_that_rises_ends_the_phase():
    assert ends_after(list(range(100))) == 50


def test_a_loss_that_has_fallen_ends_when_a_window_brings_little():
    losses = [max(0.0, 60.0 - i) for i in range(200)]
    # Windows of 20: the last of them must begin after the fall has ended.
    assert ends_after(losses) == 100
    assert ends_after([1000.0, *[0.0] * 199]) == 100


def test_short_phases_are_not_ended_by_one_pass():
    assert ends_after([1.0, 1.0]) is None
    assert ends_after([1.0, 1.0, 1.0]) == 3


def test_the_state_that_changes_is_named():
    plateau, other = Plateau(), Plateau()
    for listener in (plateau, other):
        listener.on_phase_begin(None, None, 10)
    for loss in (3.0, 2.0, 1.0):
        plateau.on_epoch_end(None, None, {"loss": loss})
    other.restore(plateau.state())
    assert other.losses == [3.0, 2.0, 1.0]
