"""Our Adam is torch's, to the bit where torch fuses its own."""

import pytest
import torch

from skvade.training.adam import Adam


@pytest.mark.parametrize("n_steps", [1, 2, 50])
def test_steps_are_those_of_torch(n_steps):
    start = torch.randn(40, generator=torch.Generator().manual_seed(0))
    ours, theirs = start.clone(), start.clone().requires_grad_()
    adam, optimizer = Adam(ours), torch.optim.Adam([theirs], lr=1.0, fused=True)
    for step in range(n_steps):
        gradient = torch.randn(40, generator=torch.Generator().manual_seed(step + 1))
        rate = 0.1 / (step + 1)
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        adam.step(rate)
        optimizer.param_groups[0]["lr"] = rate
        optimizer.step()
    assert torch.equal(ours, theirs)


def test_the_way_without_fusion_is_the_same():
    """On devices for which torch has no fused step."""
    start = torch.randn(40, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    ours, plain = start.clone(), start.clone()
    adam, other = Adam(ours), Adam(plain)
    for step in range(5):
        gradient = torch.randn(40, generator=torch.Generator().manual_seed(step + 1)).double()
        ours.grad, plain.grad = gradient.clone(), gradient.clone()
        adam.step(0.1)
        other.step(0.1, fused=False)
    torch.testing.assert_close(plain, ours, rtol=1e-6, atol=1e-9)


def test_nothing_happens_without_a_gradient():
    vector = torch.ones(3)
    Adam(vector).step(0.1)
    assert torch.equal(vector, torch.ones(3))
