import copy

import pytest
import torch
from torch import nn

from skvade.training.weights import Weights

LOW = torch.bfloat16


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))


def backward(model, dtype, scale=1.0):
    x = torch.linspace(-1, 1, 20).view(5, 4)
    with torch.autocast("cpu", dtype=dtype, enabled=dtype is not None):
        (scale * model(x).float()).square().sum().backward()


@pytest.mark.parametrize("scale", [0.1, 100.0])
def test_gradients_are_shortened_as_torch_does(scale):
    model = network()
    ours, theirs = Weights(model, list(model.parameters())), copy.deepcopy(model)
    backward(model, None, scale)
    ours.collect_gradients(max_norm=1.0)
    backward(theirs, None, scale)
    nn.utils.clip_grad_norm_(theirs.parameters(), 1.0)
    for a, b in zip(ours.masters, theirs.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad)


def test_the_model_multiplies_with_rounded_masters():
    """The same as autocast, which rounds the weights in every step."""
    model = network()
    plain = copy.deepcopy(model)
    weights = Weights(model, list(model.parameters()), model.parameters(), LOW)
    assert {p.dtype for p in model.parameters()} == {LOW}
    for scale in (1.0, 2.0):
        weights.clear_gradients()
        plain.zero_grad()
        backward(model, LOW, scale)
        backward(plain, LOW, scale)
        weights.collect_gradients(1e9)
        with torch.no_grad():
            for master, parameter in zip(weights.masters, plain.parameters(), strict=True):
                torch.testing.assert_close(master.grad, parameter.grad)
                master -= 0.1 * master.grad
                parameter -= 0.1 * parameter.grad
        weights.publish()
    weights.close()
    for ours, theirs in zip(model.parameters(), plain.parameters(), strict=True):
        assert ours.dtype == torch.float32
        assert ours.grad is None
        torch.testing.assert_close(ours, theirs)


def test_steps_too_small_for_the_copies_add_up():
    layer = nn.Linear(1, 1)
    nn.init.ones_(layer.weight)
    weights = Weights(layer, [layer.weight], [layer.weight], LOW)
    for _ in range(100):
        with torch.no_grad():
            weights.masters[0].add_(1e-4)
        weights.publish()
    assert layer.weight.item() == pytest.approx(1.01, rel=2**-8)
    assert torch.tensor(1.0, dtype=LOW) + 1e-4 == 1
    weights.close()
    assert layer.weight.item() == pytest.approx(1.01, rel=1e-5)


def test_states_keep_full_precision():
    model = network()
    expected = copy.deepcopy(model.state_dict())
    weights = Weights(model, list(model.parameters()), [model[0].weight], LOW)
    state = weights.state()
    with torch.no_grad():
        for master in weights.masters:
            master.zero_()
    weights.publish()
    assert not any(p.any() for p in model.parameters())
    weights.restore(state)
    weights.close()
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=0)
        torch.testing.assert_close(value, state[name], rtol=0, atol=0)
