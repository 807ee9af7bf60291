"""A table of several kinds of columns: each block against its own family, and against scipy."""

import pickle

import numpy as np
import pytest
import torch
from scipy import stats

from skvade.nn.likelihoods import LIKELIHOODS
from skvade.nn.mixed import Categorical, Measurements, Mixed
from skvade.nn.summary import Block
from tests.conftest import summary

WIDTHS = (3, 4)
KINDS = {"gaussian": 2, "negative_binomial": 1, "poisson": 2, "bernoulli": 2, "categorical": 7}


def block(kind):
    n_columns = KINDS[kind]
    widths = WIDTHS if kind == "categorical" else (1,) * n_columns
    scales = tuple(np.linspace(0.5, 1.5, n_columns).tolist())
    return Block(kind, summary(n_columns, median_total=None), widths, scales)


@pytest.fixture
def mixed():
    blocks = tuple(map(block, KINDS))
    likelihood = Mixed(summary(sum(KINDS.values()), blocks=blocks)).double()
    for parameter in likelihood.parameters():
        parameter.data.normal_(generator=torch.Generator().manual_seed(3))
    return likelihood


@pytest.fixture
def outputs():
    generator = torch.Generator().manual_seed(4)
    return torch.randn(6, sum(KINDS.values()), generator=generator, dtype=torch.float64)


def rows(n_rows=6):
    rng = np.random.default_rng(0)
    hot = [np.eye(width)[rng.integers(0, width, n_rows)] for width in WIDTHS]
    numbers = [rng.normal(size=(n_rows, 2)), rng.poisson(3, (n_rows, 3))]
    return torch.from_numpy(np.hstack([*numbers, rng.integers(0, 2, (n_rows, 2)), *hot]))


def test_log_prob_is_the_sum_over_columns_of_what_scipy_says(mixed, outputs):
    x = rows()
    x_parts, f_parts = (
        [part.numpy() for part in tensor.split(mixed.sizes, -1)] for tensor in (x, outputs)
    )
    gaussian, counts = mixed.parts[0], mixed.parts[1]
    t = counts.inverse_dispersion.detach().numpy()
    deviations = gaussian.variance.detach().sqrt().numpy()
    expected = stats.norm.logpdf(x_parts[0], f_parts[0], deviations).sum(1)
    rate = np.exp(f_parts[1])
    expected += stats.nbinom.logpmf(x_parts[1], t, t / (t + rate)).sum(1)
    expected += stats.poisson.logpmf(x_parts[2], np.exp(f_parts[2])).sum(1)
    expected += stats.bernoulli.logpmf(x_parts[3], 1 / (1 + np.exp(-f_parts[3]))).sum(1)
    for x_part, f_part in zip(
        np.split(x_parts[4], [WIDTHS[0]], 1), np.split(f_parts[4], [WIDTHS[0]], 1), strict=True
    ):
        shares = np.exp(f_part) / np.exp(f_part).sum(1, keepdims=True)
        expected += [
            stats.multinomial.logpmf(one, 1, p) for one, p in zip(x_part, shares, strict=True)
        ]
    ours = mixed.log_prob(x, outputs).detach().numpy()
    np.testing.assert_allclose(ours, expected, rtol=1e-10)


def test_what_is_missing_has_no_density(mixed, outputs):
    mixed.eval()
    x = rows()
    each = mixed.log_probs(x, outputs).detach()
    first = sum(mixed.sizes[:-1])
    x[0, 0], x[1, first : first + WIDTHS[0]], x[2, 2] = np.nan, np.nan, np.nan
    expected = each.sum(1)
    expected[0] -= each[0, 0]
    expected[1] -= each[1, first : first + WIDTHS[0]].sum()
    expected[2] -= each[2, 2]  # a count whose row has no sum
    torch.testing.assert_close(mixed.log_prob(x, outputs).detach(), expected)


def test_shares_of_each_feature_have_the_sum_one():
    categories = Categorical(summary(7), WIDTHS)
    shares = categories.mean(30 * torch.randn(50, 7, generator=torch.Generator().manual_seed(0)))
    for part in shares.split(WIDTHS, -1):
        torch.testing.assert_close(part.sum(-1), torch.ones(50))


def test_draws_have_the_means(mixed, outputs):
    n_draws, one = 40_000, outputs[:1]
    drawn = mixed.sample(one.expand(n_draws, -1), torch.Generator().manual_seed(1)).detach()
    error = drawn.std(0) / n_draws**0.5
    assert (((drawn.mean(0) - mixed.mean(one)[0].detach()) / error).abs() < 4.5).all()
    for part in drawn[:, -sum(WIDTHS) :].split(WIDTHS, -1):
        assert torch.equal(part.sum(-1), torch.ones(n_draws))


def test_the_variance_of_each_column_is_found():
    """Calibration leaves each measurement the variance that its residuals have."""
    gaussian = Measurements(summary(3))
    residual = torch.tensor([0.02, 0.5, 2.0])
    gaussian.calibrate_(residual, torch.zeros(3), torch.zeros(3))
    torch.testing.assert_close(gaussian.variance.detach(), residual)


def test_a_linear_decoder_starts_at_the_means(mixed):
    """Decoded at the mean of what the encoder sees, with the slope there of each family."""
    x = rows(200)
    view = mixed.encoder_input(x)
    at, gain = mixed.linear_start(view.mean(0))
    mean = mixed.mean(at[None])[0].detach()
    plain = [*range(2), *range(5, 14)]  # counts start at the mean of their logarithms
    torch.testing.assert_close(mean[plain], x.mean(0)[plain], rtol=1e-3, atol=1e-3)
    assert gain.shape == (14,)
    assert (gain > 0).all()


def test_columns_are_numbered_anew_when_tensors_are_loaded():
    """A module that was made without memory has none of the numbers of its columns."""
    with torch.device("meta"):
        categories = Categorical(summary(7), WIDTHS)
    categories.load_state_dict({}, assign=True)
    assert categories.places_of_3.tolist() == [[0, 1, 2]]
    assert categories.places_of_4.tolist() == [[3, 4, 5, 6]]
    assert categories.order.tolist() == list(range(7))


def test_columns_are_numbered_in_older_pickles():
    categories = Categorical(summary(7), WIDTHS)
    for name in ("order", "places_of_3", "places_of_4"):
        del categories._buffers[name]
    again = pickle.loads(pickle.dumps(categories))
    assert again.order.tolist() == list(range(7))


def test_classes_see_both_values_of_what_has_two(mixed):
    seen, are_shares = mixed.as_classes(rows()), np.array(mixed.are_shares)
    assert seen.shape == (6, len(are_shares))
    torch.testing.assert_close(seen[:, are_shares].sum(1), torch.full((6,), 4.0).double())


@pytest.mark.parametrize("name", [name for name, family in LIKELIHOODS.items() if family.counts])
def test_counts_without_row_sums_have_means_of_their_own(name):
    counts = LIKELIHOODS[name](summary(2, median_total=None)).double()
    f, x = torch.tensor([[0.0, 1.0]]).double(), torch.tensor([[5.0, np.nan]]).double()
    torch.testing.assert_close(counts.mean(f), f.exp())
    both = torch.tensor([[5.0, 70.0]]).double()
    counts.eval()
    alone = counts.log_probs(both, f)[0, 0]
    torch.testing.assert_close(counts.log_prob(x, f)[0], alone)
