"""Layers with and without noise, and DEPICT's loss, against the formulas written naively."""

import numpy as np
import pytest
import torch
from torch import nn

from skvade.nn.adgm import ADGM
from skvade.nn.headed import HeadedAutoencoder
from skvade.nn.heads import Linear
from skvade.nn.layers import dropout
from skvade.nn.likelihoods import LIKELIHOODS
from skvade.nn.m2 import M2
from skvade.nn.networks import make_decoder, make_encoder
from skvade.objectives.base import Batch
from skvade.objectives.dec import TargetAssignment, balanced, sharpened
from skvade.objectives.denoising import Denoised, WithDenoising, noisy_pass
from skvade.objectives.reconstruction import Reconstruction
from skvade.training.batches import Rows
from tests.conftest import random_category_model, rows_for, summary

X = rows_for("gaussian", n_rows=40)
ROWS = Rows(X.numpy(), dtype=np.float64)
SIZES = (8, 6)


def model_of(encoder=None, decoder=None, linear_path=True):
    """A float64 model in which every parameter of both networks is random."""
    generator = torch.Generator().manual_seed(1)
    example = torch.zeros(2, 4)
    model = HeadedAutoencoder(
        make_encoder(encoder, example, SIZES, 2, "tanh", generator, linear_path),
        make_decoder(decoder, 4, SIZES, 2, "tanh", generator, linear_path),
        LIKELIHOODS["gaussian"](summary(4)),
        Linear(3, 2),
    ).double()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5, generator=generator)
    return model


def dense_layers(perceptron):
    return [
        (layer.weight.detach().numpy(), layer.bias.detach().numpy())
        for layer in perceptron
        if isinstance(layer, nn.Linear)
    ]


def naive_layers(perceptron, x):
    found = []
    for weight, bias in dense_layers(perceptron):
        x = np.tanh(x @ weight.T + bias)
        found.append(x)
    return found


@pytest.mark.parametrize("linear_path", [True, False])
def test_the_loss_of_layers_is_the_papers(linear_path, generator):
    model = model_of(linear_path=linear_path).eval()  # without noise
    body, back = model.encoder.body, model.decoder.body
    if linear_path:
        body, back = body.perceptron, back.perceptron
    with torch.no_grad():
        noisy, loss = noisy_pass(model, X, 0.3, generator)
        code, outputs = model.code(X), model.reconstruct(model.code(X))
        reconstruction = -model.likelihood.log_prob(X, outputs).mean().item()
    np.testing.assert_allclose(noisy.code, code)
    h, g = naive_layers(body, X.numpy()), naive_layers(back, code.numpy())
    expected = reconstruction
    for i in range(2):
        layer, decoded = h[i], g[1 - i]
        each = [((layer[j] - decoded[j]) ** 2).sum() / layer.shape[1] for j in range(len(X))]
        expected += 4 / 2 * np.mean(each)
    assert loss.item() == pytest.approx(expected)


def test_no_gradient_moves_the_clean_layers(generator):
    """Those of the loss are what they are with the clean layers for constants."""
    model = model_of().train()
    _, loss = noisy_pass(model, X, 0.3, torch.Generator().manual_seed(0))
    loss.backward()
    found = [parameter.grad.clone() for parameter in model.encoder.body.parameters()]
    moved = model_of().train()
    with torch.no_grad():
        constants = moved.encode_through(X)[1].hidden
    noisy, _ = moved.encode_through(X, dropout(0.3, torch.Generator().manual_seed(0)))
    decoded = moved.decode_through(noisy)
    again = -moved.likelihood.log_prob(X, decoded.output).mean()
    for h, g in zip(constants, decoded.hidden[::-1], strict=True):
        again = again + 4 / 2 * (h - g).square().mean()
    again.backward()
    for ours, parameter in zip(found, moved.encoder.body.parameters(), strict=True):
        torch.testing.assert_close(ours, parameter.grad)


def test_noise_drops_its_share_and_keeps_the_mean(generator):
    x = torch.ones(200, 500, dtype=torch.float64)
    noisy = dropout(0.3, generator)(x)
    assert (noisy == 0).double().mean().item() == pytest.approx(0.3, abs=0.01)
    assert noisy.mean().item() == pytest.approx(1.0, abs=0.01)
    np.testing.assert_allclose(noisy[noisy != 0], 1 / 0.7)
    assert dropout(0.0, generator)(x) is x


def test_noise_reaches_the_input_and_every_layer(generator):
    model = model_of()
    noisy, layers = model.encode_through(X, dropout(0.5, generator))
    assert all((part == 0).any() for part in layers.hidden)
    body = model.encoder.body
    assert ((noisy.hidden - body(X)).abs() > 1e-3).any(0).all()  # the linear path too


class WithLayers(nn.Module):
    """A network of a user, with an attribute of that name."""

    def __init__(self, n_in, n_out):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(n_in, 8), nn.Tanh(), nn.Linear(8, n_out)])

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


def test_of_own_networks_rows_alone_are_reconstructed(generator):
    model = model_of(WithLayers(4, 6), WithLayers(2, 4)).eval()
    with torch.no_grad():
        _, loss = noisy_pass(model, X, 0.3, generator)
        outputs = model.reconstruct(model.code(X))
        assert loss.item() == pytest.approx(-model.likelihood.log_prob(X, outputs).mean().item())
        assert model_of(WithLayers(4, 6)).encode_through(X)[1].hidden == []


def test_depicts_target_and_loss_are_the_papers(generator):
    model = model_of().eval()
    target = TargetAssignment(ROWS, interval=10, make_target=balanced)
    batch = Batch(X[5:25], torch.arange(40)[5:25])
    with torch.no_grad():
        terms = Denoised(target, 0.3)(model, batch, generator)
        q = model.assign(X).numpy()
    p = np.empty_like(q)
    for i in range(len(q)):
        for c in range(3):
            share = [q[i, d] / np.sqrt(q[:, d].sum()) for d in range(3)]
            p[i, c] = q[i, c] / np.sqrt(q[:, c].sum()) / sum(share)
    np.testing.assert_allclose(target.targets, p)
    expected = (p * np.log(p / q))[5:25].sum(1).mean()
    assert terms["clustering"].item() == pytest.approx(expected)


def test_denoising_comes_beside_another_objective(generator):
    model, batch = model_of().train(), Batch(X, torch.arange(40))
    terms = WithDenoising(Reconstruction(), 0.5, 0.0)(model, batch, generator)
    _, loss = noisy_pass(model, X, 0.0, generator)
    plain = Reconstruction()(model, batch, generator)["reconstruction"]
    torch.testing.assert_close(terms["reconstruction"], plain)
    torch.testing.assert_close(terms["denoising"], 0.5 * loss)
    beside = WithDenoising(Reconstruction(), 0.5, 0.0)(model, Batch(X, None), generator)
    assert list(beside) == ["reconstruction"]


@pytest.mark.parametrize("cls", [M2, ADGM])
def test_densities_keep_their_precision_beside_networks_in_bfloat16(cls, generator):
    """They were found inside the networks' precision at first, and were off by whole nats."""
    model = random_category_model(cls).float()
    model.compute_dtype = torch.bfloat16
    seen, logits = [], model.category_logits

    def watched(encoding):
        seen.append(torch.is_autocast_enabled("cpu"))
        return logits(encoding)

    model.category_logits = watched
    noisy_pass(model.train(), X.float(), 0.1, generator)
    assert seen
    assert not any(seen)


def test_a_target_that_is_balanced_is_no_sharper_where_clusters_are_even():
    q = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.7, 0.2], [0.2, 0.1, 0.7]])
    torch.testing.assert_close(balanced(q, q.sum(0)), q)
    torch.testing.assert_close(sharpened(q, q.sum(0)).amax(1), torch.full((3,), 0.49 / 0.54))
