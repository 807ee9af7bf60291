"""Encoders and decoders: their first weights, their layers by numpy, and rescaling."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import special, stats
from torch import nn

from skvade.nn.networks import (
    ACTIVATIONS,
    LOG_VARIANCE_RANGE,
    Decoder,
    GaussianEncoder,
    copied,
    dense,
    make_decoder,
    make_encoder,
    multilayer_perceptron,
)

BY_NUMPY = {
    "relu": lambda x: np.maximum(x, 0),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.01 * x),
    "elu": lambda x: np.where(x > 0, x, np.expm1(x)),
    "gelu": lambda x: x * special.ndtr(x),
    "silu": lambda x: x * special.expit(x),
    "tanh": np.tanh,
}


def layers(module):
    return [layer for layer in module.modules() if isinstance(layer, nn.Linear)]


def randomised(module, generator):
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5, generator=generator)
    return module.double()


def test_first_weights_are_uniform_within_kaimings_bounds(generator):
    layer = dense(50, 400, generator)
    bound = math.sqrt(6 / 50)
    values = layer.weight.detach().numpy().ravel()
    assert stats.kstest(values, stats.uniform(-bound, 2 * bound).cdf).pvalue > 1e-3
    assert np.abs(values).max() <= bound
    assert not layer.bias.any()


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_a_perceptron_is_its_formula(activation, generator):
    network = randomised(multilayer_perceptron((4, 6, 3), activation, generator), generator)
    x = torch.randn(20, 4, generator=generator, dtype=torch.float64)
    expected = x.numpy().copy()
    for layer in layers(network):
        weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
        expected = BY_NUMPY[activation](expected @ weight.T + bias)
    np.testing.assert_allclose(network(x).detach(), expected, atol=1e-12)
    assert set(BY_NUMPY) == set(ACTIVATIONS)


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_gradients_agree_with_finite_differences(activation, generator):
    """Some activations overwrite their input, which must not spoil the gradient."""
    network = randomised(multilayer_perceptron((3, 4, 2), activation, generator), generator)
    x = torch.randn(5, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, *p: network(x), (x, *network.parameters()))


def test_a_decoder_mirrors_its_encoder(generator):
    given = ((7, 5, 9), 3, "relu", generator)
    encoder = make_encoder(None, torch.zeros(2, 11), *given)
    decoder = make_decoder(None, 11, *given)
    up = [layer.in_features for layer in layers(encoder.body)]
    down = [layer.out_features for layer in layers(decoder)]
    assert up == [11, 7, 5]
    assert down == [9, 5, 7, 11]
    assert all(a.out_features == b.in_features for a, b in pairwise(layers(decoder)))
    assert isinstance(list(decoder.body)[-1], nn.Linear)  # outputs may have any sign


@pytest.fixture
def encoder(generator):
    body = nn.Sequential(nn.Linear(4, 6), nn.Tanh())
    return randomised(GaussianEncoder(body, 6, 3, generator), generator)


@pytest.fixture
def decoder(generator):
    return randomised(Decoder(nn.Sequential(nn.Linear(3, 6), nn.Tanh())), generator)


@pytest.fixture
def x(generator):
    return torch.randn(20, 4, generator=generator, dtype=torch.float64)


def test_rescaling_divides_codes_and_leaves_what_is_decoded(encoder, decoder, x):
    with torch.no_grad():
        hidden = encoder.hidden(x)
        mean, log_variance = encoder(hidden)
        decoded = decoder(mean)
        for factor in (2.5, 0.7, 1e-3):
            encoder.rescale_(factor)
            decoder.rescale_(factor)
        total = 2.5 * 0.7 * 1e-3
        np.testing.assert_allclose(encoder(hidden)[0], mean / total, rtol=1e-10)
        np.testing.assert_allclose(encoder.mean(hidden), mean / total, rtol=1e-10)
        np.testing.assert_allclose(encoder(hidden)[1], log_variance)
        np.testing.assert_allclose(decoder(encoder.mean(hidden)), decoded, rtol=1e-10)
        np.testing.assert_allclose(decoder(mean / total), decoded, rtol=1e-10)


def test_a_set_log_variance_is_that_of_every_row_within_its_range(encoder, x):
    low, high = LOG_VARIANCE_RANGE
    wanted = torch.tensor([low - 1, -1.5, high + 1], dtype=torch.float64)
    encoder.set_log_variance_(wanted)
    log_variance = encoder(encoder.hidden(x))[1].detach()
    np.testing.assert_allclose(log_variance, np.tile([low, -1.5, high], (20, 1)))


def test_a_new_encoder_has_the_same_variance_for_every_row(generator, x):
    new = make_encoder(None, x.float(), (8,), 3, "relu", generator)
    _, log_variance = new(new.hidden(x.float()))
    assert not log_variance.any()


def test_heads_keep_full_precision_behind_a_rounded_body(encoder, x):
    encoder = encoder.float()
    rounded = encoder.hidden(x.float()).bfloat16()
    mean, log_variance = encoder(rounded)
    exact = rounded.double() @ encoder.mean_head.weight.double().T + encoder.mean_head.bias
    np.testing.assert_allclose(mean.detach(), exact.detach(), rtol=1e-5, atol=1e-5)
    assert log_variance.dtype == torch.float32


def test_a_template_that_fails_keeps_its_mode(generator):
    class Tuple(nn.Linear):
        def forward(self, x):
            return super().forward(x), x

    with pytest.raises(ValueError, match="encoder must return one tensor, got tuple"):
        make_encoder(Tuple(5, 3), torch.zeros(2, 5), *shared(generator))
    template = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4)).eval()
    built = make_encoder(template, torch.zeros(2, 5), *shared(generator))
    assert not built.body.training


def test_initial_networks_ignore_and_keep_the_global_generator():
    def build():
        generator = torch.Generator().manual_seed(7)
        shared = ((16,), 3, "relu", generator)
        encoder = make_encoder(None, torch.zeros(2, 5), *shared)
        return [*encoder.parameters(), *make_decoder(None, 5, *shared).parameters()]

    torch.manual_seed(0)
    state = torch.get_rng_state()
    first = build()
    assert torch.equal(state, torch.get_rng_state())
    torch.manual_seed(1)
    assert all(torch.equal(a, b) for a, b in zip(first, build(), strict=True))


def test_initial_layers_keep_the_variance_of_their_inputs(generator):
    encoder = make_encoder(None, torch.zeros(2, 300), (400, 400), 3, "relu", generator)
    x = torch.randn(500, 300, generator=generator)
    with torch.no_grad():
        squares = encoder.hidden(x).square().mean().item()
    assert math.isclose(squares, 1.0, rel_tol=0.3)


def shared(generator):
    return ((16,), 3, "relu", generator)


@pytest.mark.parametrize(
    "template, message",
    [
        (nn.Linear(7, 3), r"encoder fails on an input of shape \(2, 5\)"),
        (nn.Unflatten(1, (1, 5)), r"\(2, 5\) to \(2, 1, 5\); expected \(2, n_hidden\)"),
        (nn.Flatten(0), r"expected \(2, n_hidden\)"),
    ],
)
def test_encoders_of_the_wrong_shape_are_named(template, message, generator):
    with pytest.raises(ValueError, match=message):
        make_encoder(template, torch.zeros(2, 5), *shared(generator))


@pytest.mark.parametrize(
    "template, message",
    [
        (nn.Linear(2, 5), r"decoder fails on an input of shape \(2, 3\)"),
        (nn.Linear(3, 4), r"decoder takes codes of shape \(2, 3\) to \(2, 4\); expected \(2, 5\)"),
    ],
)
def test_decoders_of_the_wrong_shape_are_named(template, message, generator):
    with pytest.raises(ValueError, match=message):
        make_decoder(template, 5, *shared(generator))


def test_templates_may_be_of_any_precision(generator):
    encoder = make_encoder(nn.Linear(5, 4).double(), torch.zeros(2, 5), *shared(generator))
    decoder = make_decoder(nn.Linear(3, 5).double(), 5, *shared(generator))
    assert {p.dtype for m in (encoder, decoder) for p in m.parameters()} == {torch.float32}


def test_a_copy_has_hooks_of_its_own():
    """Tables of hooks that were empty, and one that was not."""
    net, seen = nn.Sequential(nn.Linear(2, 2), nn.ReLU()), []
    net[0].register_forward_hook(lambda *_: seen.append("first"))
    other = copied(net)
    other[0].register_forward_hook(lambda *_: seen.append("copy's"))
    other[1].register_forward_pre_hook(lambda *_: seen.append("copy's"))
    net(torch.zeros(1, 2))
    assert seen == ["first"]
    other(torch.zeros(1, 2))
    assert seen == ["first", "first", "copy's", "copy's"]


def test_templates_are_copied_and_keep_their_mode(generator):
    template = nn.Sequential(nn.Linear(5, 4), nn.Dropout(0.5))
    encoder = make_encoder(template, torch.zeros(2, 5), *shared(generator))
    assert encoder.body is not template
    assert encoder.body.training
    encoder.body[0].weight.data.zero_()
    assert template[0].weight.abs().sum() > 0
