"""Networks of a user draw from a generator of ours, in their own thread only."""

import threading

import pytest
import torch
from torch import nn
from torch.nn import functional

from skvade.nn.draws import Draws

ONES = torch.ones(6, 10)
LAYERS = {
    "dropout": nn.Dropout(0.3),
    "alpha dropout": nn.AlphaDropout(0.3),
    "feature dropout": nn.Dropout1d(0.3),
    "rrelu": lambda x: nn.RReLU()(-x),
    "script": torch.jit.script(nn.Sequential(nn.Dropout(0.3))),
}
CALLS = {
    **LAYERS,
    "rand": lambda x: torch.rand(x.shape),
    "rand_like": torch.rand_like,
    "randn_like": torch.randn_like,
    "randint": lambda x: torch.randint(100, x.shape),
    "randint_like": lambda x: torch.randint_like(x, 100),
    "randperm": lambda x: torch.randperm(50),
    "bernoulli": lambda x: torch.bernoulli(0.5 * x),
    "normal_": lambda x: torch.empty_like(x).normal_(),
    "exponential_": lambda x: torch.empty_like(x).exponential_(),
    "multinomial": lambda x: torch.multinomial(x, 3),
    "poisson": lambda x: torch.poisson(9 * x),
    "gamma": lambda x: torch.distributions.Gamma(x, x).sample(),
    "gumbel": lambda x: functional.gumbel_softmax(x),
    "native dropout": lambda x: torch.native_dropout(x, 0.3, True)[0],
    "attention": lambda x: functional.scaled_dot_product_attention(
        *3 * [x[None].cumsum(1)], dropout_p=0.5
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_draws_follow_from_the_seed_and_leave_the_global_generator_alone(name):
    def drawn(seed):
        with Draws(seed)():
            return CALLS[name](ONES)

    before = torch.get_rng_state()
    first = drawn(1)
    torch.rand(3)
    again, other = drawn(1), drawn(2)
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    assert not torch.equal(first, other)
    torch.set_rng_state(before)
    drawn(1)
    assert torch.equal(before, torch.get_rng_state())


def test_native_dropout_keeps_the_mean_and_says_what_it_kept():
    with Draws(0)():
        kept, mask = torch.native_dropout(torch.ones(100_000), 0.3, True)
    assert kept.mean() == pytest.approx(1, abs=0.01)
    assert torch.equal(mask, kept != 0)
    torch.testing.assert_close(kept[mask], torch.full((int(mask.sum()),), 1 / 0.7))


def test_gradients_pass():
    x = torch.ones(1_000, requires_grad=True)
    with Draws(0)():
        y = functional.dropout(x, 0.5)
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())


def test_a_state_is_taken_up_where_it_was_left():
    whole, parts = Draws(3), Draws(3)
    with whole():
        expected = [torch.rand(4) for _ in range(2)]
    with parts():
        torch.rand(4)
    later = Draws(7)
    later.restore(parts.state())
    with later():
        assert torch.equal(torch.rand(4), expected[1])


def test_other_threads_draw_as_ever():
    """The mode is of one thread: a global one would give both the same numbers."""
    inside, done = threading.Event(), threading.Event()
    found = {}

    def other():
        inside.wait()
        torch.manual_seed(5)
        found["other"] = torch.rand(4)
        done.set()

    thread = threading.Thread(target=other)
    thread.start()
    state = torch.get_rng_state()
    with Draws(0)():
        first = torch.rand(4)
        inside.set()
        done.wait()
        second = torch.rand(4)
    thread.join()
    torch.manual_seed(5)
    assert torch.equal(found["other"], torch.rand(4))
    torch.set_rng_state(state)
    with Draws(0)():
        assert torch.equal(first, torch.rand(4))
        assert torch.equal(second, torch.rand(4))
