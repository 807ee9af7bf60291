"""Rows on the device are the same rows."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from skvade.training.batches import Batches, Rows
from skvade.training.resident import make_resident
from skvade.training.runtime import Runtime
from skvade.training.units import measure_units

RNG = np.random.default_rng(0)
DENSE = RNG.integers(0, 5, size=(40, 6)).astype(np.float64)
CONTAINERS = {
    "float64": (DENSE, torch.float32),
    "float32": (DENSE.astype(np.float32), torch.float32),
    "float16": (DENSE.astype(np.float16), torch.float16),
    "uint8": (DENSE.astype(np.uint8), torch.uint8),
    "int64": (DENSE.astype(np.int64), torch.float32),
    "csr": (sp.csr_array(DENSE), torch.float32),
}


@pytest.mark.parametrize("name", CONTAINERS)
@pytest.mark.parametrize("standardised", [False, True])
def test_the_same_batches_and_blocks_as_from_the_host(name, standardised):
    X, stored = CONTAINERS[name]
    host = Rows(X, units=measure_units(X).units) if standardised else Rows(X)
    device = make_resident(host)
    assert device.X.dtype == (torch.float32 if standardised else stored)
    assert (len(device), device.n_features) == DENSE.shape
    some = np.array([5, 1, 30])
    pairs = [(host, device), (host.subset(some), device.subset(some))]
    pairs.append((host.subset(some), make_resident(host.subset(some))))
    for ours, theirs in pairs:
        for a, b in zip(ours.blocks(), theirs.blocks(), strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=0)
        streams = (Batches(rows, 2, seed=0) for rows in (ours, theirs))
        for (a, b), _ in zip(zip(*streams, strict=False), range(5), strict=False):
            torch.testing.assert_close(a.x, b.x, rtol=0, atol=0)
            assert torch.equal(a.index, b.index)


def test_what_is_handed_out_is_never_a_view():
    rows = make_resident(Rows(DENSE.astype(np.float32)))
    for index in (slice(None), np.arange(40), torch.arange(40)):
        rows.take(index).add_(1)
    np.testing.assert_array_equal(rows.take(slice(None)).numpy(), DENSE)


def test_rows_are_placed_on_a_gpu_if_they_fit(monkeypatch):
    rows = Rows(DENSE)
    assert Runtime(torch.device("cpu")).place(rows) is rows
    size = DENSE.size * 4
    for free, fits in ((3 * size, True), (3 * size - 3, False)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device, free=free: (free, free))
        assert (Runtime(torch.device("cuda")).place(rows) is not rows) == fits
