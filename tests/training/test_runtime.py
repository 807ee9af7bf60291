"""Devices and precisions."""

import pytest
import torch

from skvade.training.runtime import isolated_random_state, resolve_device, resolve_runtime


def test_auto_is_the_best_that_exists(monkeypatch):
    assert resolve_device("auto").type in ("cuda", "mps", "cpu")
    monkeypatch.setattr("skvade.training.runtime._n_devices", lambda kind: kind != "cuda")
    assert resolve_device("auto").type == "mps"


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "", "tpu:0"])
def test_unknown_devices_are_named(device):
    with pytest.raises(ValueError, match="is not a device; use 'auto'"):
        resolve_device(device)


@pytest.mark.parametrize("device", ["cuda:99", "cpu:7", "meta"])
def test_absent_devices_are_named(device):
    with pytest.raises(ValueError, match="is not available here.*use 'auto' or one of"):
        resolve_device(device)


def test_precision_auto_follows_the_hardware(monkeypatch):
    for native, dtype in ((True, torch.bfloat16), (False, None)):
        monkeypatch.setattr(
            "skvade.training.runtime._multiplies_bfloat16", lambda device, native=native: native
        )
        assert resolve_runtime("cpu", "auto").compute_dtype is dtype
        assert resolve_runtime("cpu", "float32").compute_dtype is None
        assert resolve_runtime("cpu", "bfloat16").compute_dtype is torch.bfloat16


def test_the_global_random_state_is_put_back():
    before = torch.get_rng_state()
    draws = []
    for _ in range(2):
        with isolated_random_state(3, torch.device("cpu")):
            draws.append(torch.rand(4))
    assert torch.equal(draws[0], draws[1])
    assert torch.equal(before, torch.get_rng_state())
