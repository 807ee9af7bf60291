"""Budgets, batches and rates, by their ends, their integrals and their stated powers."""

import itertools

import numpy as np
import pytest
from scipy.integrate import quad

from skvade.training.batches import Batches, Rows
from skvade.training.schedules import (
    SCHEDULES,
    WarmUp,
    auto_batch_size,
    auto_steps,
    constant,
    cosine,
    fine_tuning,
    gentle,
    is_small,
    n_steps,
    step,
)

THIRDS = [1 / 3, 2 / 3]


@pytest.mark.parametrize("name", sorted(SCHEDULES))
def test_schedules_start_at_one_and_never_rise(name):
    values = [SCHEDULES[name](p) for p in np.linspace(0, 0.999, 200)]
    assert values[0] == 1
    assert all(b <= a for a, b in itertools.pairwise(values))
    assert min(values) >= 0


@pytest.mark.parametrize(
    ("schedule", "area", "end"), [(constant, 1, 1), (cosine, 1 / 2, 0), (step, 1.11 / 3, 0.01)]
)
def test_schedules_have_their_areas_and_ends(schedule, area, end):
    assert quad(schedule, 0, 1, points=THIRDS)[0] == pytest.approx(area, rel=1e-6)
    assert schedule(1 - 1e-9) == pytest.approx(end, abs=1e-12)
    assert SCHEDULES[schedule.__name__] is schedule


def test_a_cosine_falls_as_fast_after_the_middle_as_before_it():
    progress = np.linspace(0, 1, 50)
    values = np.array([cosine(p) for p in progress])
    np.testing.assert_allclose(values, np.cos(np.pi * progress / 2) ** 2, atol=1e-12)
    np.testing.assert_allclose(values + values[::-1], 1)


def test_warm_up_rises_and_then_is_the_schedule():
    warm = WarmUp(SCHEDULES["cosine"], share=0.1)
    values = [warm(p) for p in np.linspace(0, 0.1, 20)]
    assert 0 < values[0] < 0.05
    assert values == sorted(values)
    for progress in (0.1, 0.5, 0.99):
        assert warm(progress) == cosine(progress)


@pytest.mark.parametrize("share", [0.05, 0.4])
def test_a_warm_up_takes_half_of_its_share(share):
    area = quad(WarmUp(constant, share), 0, 1, points=[share - 1e-3])[0]
    # Of the triangle; it begins a thousandth early, so that no first step is in vain.
    assert area == pytest.approx(1 - share / 2 + 1e-3 - 5e-7 / share, abs=1e-9)
    assert WarmUp(constant, share)(0) == pytest.approx(1e-3 / share)


def test_no_warm_up_is_the_schedule():
    assert [WarmUp(step, 0.0)(p) for p in (0.0, 0.4, 0.9)] == [step(p) for p in (0.0, 0.4, 0.9)]


def test_budgets_grow_slower_than_the_data():
    assert auto_steps(70_000, 4000) == 4000
    assert auto_steps(280_000, 4000) == 8000
    assert auto_steps(16 * 70_000, 4000, growth=0.25) == 8000
    assert auto_steps(1_000, 4000, growth=0.25) * 2 == auto_steps(4_000, 4000, growth=0.25)
    assert auto_steps(1_000, 4000, growth=0.75) == round(4000 * (1 / 70) ** 0.75)
    assert auto_steps(50, 4000) > 50


def test_batches_and_rates_rise_with_the_rows_where_they_are_said_to():
    sizes = [auto_batch_size(n) for n in (2, 4_999, 5_000, 19_999, 20_000, 10**7)]
    assert sizes == [128, 128, 256, 256, 512, 512]
    assert {auto_batch_size(n, small=True) for n in (2, 400, 10_000)} == {512}
    rates = [fine_tuning(n) for n in (2, 500, 1_000, 2_500, 5_000, 70_000)]
    assert rates == pytest.approx([0.025, 0.025, 0.05, 0.125, 0.25, 0.25])
    assert fine_tuning(700, most=0.5) == 2 * fine_tuning(700)


def test_many_rows_have_more_and_smaller_steps_that_wander_no_farther():
    counts = [70_000, 1_120_000, 10**7, 10**9]
    wandered = [auto_steps(n, 2_500) * fine_tuning(n) ** 2 for n in counts]
    assert wandered == pytest.approx(4 * [wandered[0]], rel=1e-3)
    assert fine_tuning(1_120_000) == pytest.approx(0.125)


def test_few_rows_are_trained_gently_and_small_tables_more_so():
    assert [gentle(n, small=False) for n in (4_000, 10**7)] == [1, 1]
    assert gentle(1_000, small=False) == pytest.approx(0.5)
    assert gentle(1_000, small=True) == pytest.approx(0.25)


def test_small_are_few_rows_or_few_entries():
    shapes = [(999, 10**6), (4_999, 10), (1_000, 50), (5_000, 10)]
    assert [is_small(*shape) for shape in shapes] == [True, True, False, False]


@pytest.mark.parametrize(("n_rows", "batch_size"), [(1_000, 128), (100, 128), (129, 64), (1, 1)])
def test_a_number_of_passes_takes_as_many_steps_as_their_batches(n_rows, batch_size):
    per_epoch = Batches(Rows(np.zeros((n_rows, 1))), batch_size, seed=0).per_epoch
    assert n_steps(7, n_rows, batch_size, reference=10**9) == 7 * per_epoch
    assert n_steps("auto", n_rows, batch_size, 4000, 0.75) == auto_steps(n_rows, 4000, 0.75)
