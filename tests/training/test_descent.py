"""Steps, sums, draws and the way back, against torch's own optimiser, numpy and exact copies."""

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from skvade.training.descent import (
    CHECK_STEPS,
    MAX_RESCUES,
    Descent,
    Draws,
    Guard,
    Tally,
    TrainingDivergedError,
)
from skvade.training.weights import Weights
from tests.training.conftest import TARGET, Broken, X, regression, run_phase

NAN = torch.tensor(float("nan"))
FINE = torch.tensor(1.0)
RATE = 0.1


def guarded(max_grad_norm=1e9, schedule=lambda progress: 1.0):
    """A model, its weights and their guard."""
    rule = SimpleNamespace(
        name="fit", learning_rate=RATE, schedule=schedule, max_grad_norm=max_grad_norm
    )
    model = regression()
    weights = Weights(model, list(model.parameters()))
    return model, weights, Guard(weights, rule)


def loss_of(model, noise=0.0):
    x = torch.from_numpy(X[:32])
    return (model(x).squeeze(-1) - x @ TARGET + noise).square().mean()


def assert_same(ours, theirs):
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


# ---------------------------------------------------------------------------------- the guard


def test_steps_are_those_of_torchs_adam_with_short_gradients_and_the_schedules_rate():
    plain = regression()
    model, weights, guard = guarded(max_grad_norm=0.5, schedule=lambda progress: 1 - progress**2)
    adam = torch.optim.Adam(plain.parameters())
    for progress in np.linspace(0, 0.9, 10):
        guard.descend(loss_of(model), guard.rate_at(progress))
        adam.param_groups[0]["lr"] = RATE * (1 - progress**2)
        adam.zero_grad()
        loss_of(plain).backward()
        assert torch.nn.utils.clip_grad_norm_(plain.parameters(), 0.5) > 0.5
        adam.step()
    torch.testing.assert_close(weights.state(), dict(plain.state_dict()))


def test_a_rescue_brings_the_last_good_state_back_exactly_and_halves_the_rate():
    model, weights, guard = guarded()
    for _ in range(5):
        guard.descend(loss_of(model), guard.rate_at(0.0))
    assert guard.good(CHECK_STEPS, FINE)
    kept = weights.state()
    for _ in range(3):
        guard.descend(loss_of(model), guard.rate_at(0.0))
    assert guard.good(2 * CHECK_STEPS - 1, FINE)  # too soon for another state
    assert not torch.equal(weights.state()["weight"], kept["weight"])
    assert not guard.good(2 * CHECK_STEPS, NAN)
    assert_same(weights.state(), kept)
    assert_same(model.weight.data, kept["weight"])
    assert (guard.rate, guard.n_rescues) == (RATE / 2, 1)
    # Adam begins anew: its first step has the length of the rate in every coordinate.
    guard.descend(loss_of(model), guard.rate_at(0.0))
    moved = weights.state()["weight"] - kept["weight"]
    np.testing.assert_allclose(moved.abs(), RATE / 2, rtol=1e-4)


def test_a_state_that_is_not_finite_is_never_kept():
    model, weights, guard = guarded()
    first = weights.state()
    model.weight.data[0, 0] = float("inf")
    assert guard.good(CHECK_STEPS - 1, FINE)  # nobody looks before it is time
    assert not guard.good(CHECK_STEPS, FINE)
    assert_same(weights.state(), first)


def test_the_rate_is_halved_a_few_times_and_then_training_ends():
    _, _, guard = guarded()
    rates = []
    for _ in range(MAX_RESCUES):
        assert not guard.good(1, NAN)
        rates.append(guard.rate)
    np.testing.assert_allclose(rates, RATE / 2.0 ** np.arange(1, MAX_RESCUES + 1))
    message = (
        rf"'fit' became non-finite {MAX_RESCUES + 1} times, at last with .* 1\.3e-02, 1\.0e-01"
    )
    with pytest.raises(TrainingDivergedError, match=message):
        guard.good(1, NAN)


def test_a_phase_ends_with_finite_parameters_and_with_something_done():
    model, weights, guard = guarded()
    first = weights.state()
    guard.descend(loss_of(model), guard.rate_at(0.0))
    last = weights.state()
    guard.finish(n_epochs_done=1)
    assert_same(weights.state(), last)
    model.bias.data.fill_(float("nan"))
    guard.finish(n_epochs_done=1)
    assert_same(weights.state(), first)
    with pytest.raises(TrainingDivergedError):
        guard.finish(n_epochs_done=0)


# --------------------------------------------------------------------- sums, draws, the whole


def test_means_are_those_of_numpy():
    values = np.random.default_rng(0).normal(size=(2, 7, 2))
    tally = Tally()
    for number, epoch in enumerate(values):
        for a, b in epoch:
            terms = torch.tensor([a, b], requires_grad=True)
            tally.add({"a": terms[0], "b": terms[1]})
        assert tally.step == 7 * (number + 1)
        assert tally.loss.item() == pytest.approx(epoch.sum())
        assert not tally.loss.requires_grad  # or the graphs of an epoch would be kept
        a, b = epoch.mean(0)
        assert tally.means(lambda total: total) == pytest.approx({"loss": a + b, "a": a, "b": b})
        tripled = tally.means(lambda total: 3 * total)
        assert tripled == pytest.approx({"loss": 3 * (a + b), "a": 3 * a, "b": 3 * b})
        tally.clear()


def test_draws_go_on_from_their_position(generator):
    draws = Draws(generator)
    torch.rand(5, generator=generator)
    state = draws.state()
    expected = torch.rand(5, generator=generator)
    other = Draws(torch.Generator().manual_seed(99))
    other.restore(state)
    assert torch.equal(torch.rand(5, generator=other.generator), expected)


def test_a_descent_that_is_taken_up_goes_on_to_the_bit():
    def begin():
        model, weights, guard = guarded(schedule=lambda progress: 1 - progress)
        tally, draws = Tally(), Draws(torch.Generator().manual_seed(3))
        return model, weights, guard, tally, draws, Descent(guard, tally, draws)

    def go(model, guard, tally, draws, n_steps):
        for _ in range(n_steps):
            loss = loss_of(model, torch.randn(32, generator=draws.generator))
            guard.descend(loss, guard.rate_at(tally.step / 20))
            tally.add({"loss": loss})

    model, weights, guard, tally, draws, descent = begin()
    go(model, guard, tally, draws, 6)
    assert guard.good(CHECK_STEPS, FINE)
    assert not guard.good(CHECK_STEPS + 1, NAN)
    go(model, guard, tally, draws, 4)
    left = copy.deepcopy((weights.state(), descent.state()))
    go(model, guard, tally, draws, 10)

    again, its_weights, its_guard, its_tally, its_draws, its_descent = begin()
    its_weights.restore(left[0])
    its_descent.restore(left[1])
    go(again, its_guard, its_tally, its_draws, 10)
    assert_same(its_weights.state(), weights.state())
    assert_same(its_tally.totals, tally.totals)
    assert (its_tally.step, its_tally.n_summed) == (20, 20)
    assert not its_guard.good(CHECK_STEPS + 2, NAN)
    assert (its_guard.rate, its_guard.n_rescues) == (RATE / 4, 2)
    assert_same(its_weights.state(), guard.good_state)


# --------------------------------------------------------------------------------- in the loop


def test_a_loss_that_turns_nan_is_rescued():
    run = run_phase(Broken(first=300, times=1))
    assert run.n_rescues == 1
    np.testing.assert_allclose(run.model.weight.detach().numpy()[0], TARGET.numpy(), atol=1e-2)
    assert np.isfinite([record["loss"] for record in run.history]).all()


def test_a_loss_that_stays_nan_raises_with_the_cure():
    with pytest.raises(TrainingDivergedError, match="lower learning_rate"):
        run_phase(Broken(first=1, times=10**9))


def test_rescues_are_few():
    objective = Broken(first=1, times=10**9)
    with pytest.raises(TrainingDivergedError):
        run_phase(objective)
    per_epoch = len(X) // 32
    assert objective.calls == (MAX_RESCUES + 1) * per_epoch


def test_a_phase_that_was_wholly_undone_raises():
    with pytest.raises(TrainingDivergedError, match="became non-finite 1 times"):
        run_phase(Broken(first=1, times=1), n_steps=6)


def test_long_epochs_are_checked_on_the_way():
    objective = Broken(first=10, times=10**9)
    with pytest.raises(TrainingDivergedError):
        run_phase(objective, batch_size=1, n_steps=1000)
    assert objective.calls <= (MAX_RESCUES + 1) * CHECK_STEPS
