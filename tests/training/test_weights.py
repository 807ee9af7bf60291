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


def step(weights, max_norm):
    """One step of gradient descent on the master, which the model then follows."""
    weights.collect_gradients(max_norm)
    torch.optim.SGD([weights.own], lr=0.1).step()
    weights.publish()


@pytest.mark.parametrize("scale", [0.1, 100.0])
@pytest.mark.parametrize("dtype", [None, LOW])
def test_gradients_are_shortened_as_torch_does(scale, dtype):
    model = network()
    plain = copy.deepcopy(model)
    # The second layer alone is copied, so that the master's order is not the model's.
    weights = Weights(model, list(model.parameters()), model[2].parameters(), dtype)
    backward(model, dtype, scale)
    step(weights, max_norm=1.0)
    backward(plain, dtype, scale)
    nn.utils.clip_grad_norm_(plain.parameters(), 1.0)
    torch.optim.SGD(plain.parameters(), lr=0.1).step()
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(weights.state()[name], value)


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
        step(weights, max_norm=1e9)
        torch.optim.SGD(plain.parameters(), lr=0.1).step()
    weights.close()
    for ours, theirs in zip(model.parameters(), plain.parameters(), strict=True):
        assert ours.dtype == torch.float32
        assert ours.grad is None
        torch.testing.assert_close(ours, theirs)


def test_frozen_parameters_of_any_kind_are_left_alone():
    model = network()
    model[0].requires_grad_(False)
    model.table = nn.Parameter(torch.arange(3), requires_grad=False)
    before = copy.deepcopy(model.state_dict())
    weights = Weights(model, list(model.parameters()), model.parameters(), LOW)
    assert len(weights.master) == sum(p.numel() for p in model[2].parameters())
    optimizer = torch.optim.Adam([weights.own], lr=0.1)
    for _ in range(2):
        weights.clear_gradients()
        backward(model, LOW)
        weights.collect_gradients(max_norm=1.0)
        optimizer.step()
        weights.publish()
    weights.close()
    for name, value in model.state_dict().items():
        assert value.dtype == before[name].dtype
        assert torch.equal(value, before[name]) == (not name.startswith("2"))


def test_parameters_in_any_memory_format():
    layer = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    expected = copy.deepcopy(layer.state_dict())
    weights = Weights(layer, list(layer.parameters()))
    torch.testing.assert_close(weights.state(), expected, rtol=0, atol=0)
    weights.close()
    torch.testing.assert_close(dict(layer.state_dict()), dict(expected), rtol=0, atol=0)


def test_parameters_own_their_memory_afterwards():
    """Saving one must not save all."""
    model = network()
    weights = Weights(model, list(model.parameters()), model[0].parameters(), LOW)
    weights.close()
    for parameter in model.parameters():
        assert parameter.untyped_storage().nbytes() == 4 * parameter.numel()


def test_steps_too_small_for_the_copies_add_up():
    layer = nn.Linear(1, 1)
    nn.init.ones_(layer.weight)
    weights = Weights(layer, [layer.weight], [layer.weight], LOW)
    for _ in range(100):
        with torch.no_grad():
            weights.master.add_(1e-4)
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
        weights.master.zero_()
    weights.publish()
    assert not any(p.any() for p in model.parameters())
    weights.restore(state)
    weights.close()
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=0)
        torch.testing.assert_close(value, state[name], rtol=0, atol=0)
