"""Rows of every container are the same rows."""

from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from skvade.training.batches import Batches, Rows
from skvade.training.units import Units, extent, measure_units, summarize

RNG = np.random.default_rng(0)
DENSE = RNG.integers(0, 5, size=(40, 6)).astype(np.float64)


def containers(tmp_path):
    read_only = DENSE.copy()
    read_only.flags.writeable = False
    np.save(tmp_path / "x.npy", DENSE)
    return {
        "float64": DENSE,
        "float32": DENSE.astype(np.float32),
        "float16": DENSE.astype(np.float16),
        "uint8": DENSE.astype(np.uint8),
        "uint32": DENSE.astype(np.uint32),
        "int64": DENSE.astype(np.int64),
        "fortran": np.asfortranarray(DENSE),
        "read-only": read_only,
        "memory map": np.load(tmp_path / "x.npy", mmap_mode="r"),
        "csr matrix": sp.csr_matrix(DENSE),
        "csr array": sp.csr_array(DENSE),
    }


def test_numbered_blocks_are_the_rows_at_their_numbers():
    rows = Rows(DENSE, index=np.arange(3, 40)[::-1])
    blocks = list(rows.numbered_blocks(row_bytes=1 << 24))
    assert len(blocks) > 1
    np.testing.assert_array_equal(torch.cat([block.index for block in blocks]), np.arange(37))
    for block in blocks:
        np.testing.assert_array_equal(rows.take(block.index), block.x)


@pytest.mark.parametrize("row_bytes", [0, 1 << 23])  # all in one block, and three rows in each
def test_several_passes_share_blocks_of_few_rows(row_bytes):
    rows = Rows(np.arange(10.0).reshape(5, 2))
    blocks = list(rows.numbered_blocks(row_bytes, n_passes=4))
    assert [len(batch.x) for batch in blocks] == ([20] if not row_bytes else [3] * 6 + [2])
    index = torch.cat([batch.index for batch in blocks])
    assert index.tolist() == [*range(5)] * 4
    assert torch.equal(torch.cat([batch.x for batch in blocks]), rows.take(index))


def test_every_container_gives_the_same_tensors(tmp_path):
    index = np.array([3, 3, 0, 39])
    for name, X in containers(tmp_path).items():
        rows = Rows(X)
        taken = rows.take(index)
        assert taken.dtype == torch.float32, name
        np.testing.assert_array_equal(taken.numpy(), DENSE[index], err_msg=name)
        blocks = torch.cat(list(rows.blocks()))
        np.testing.assert_array_equal(blocks.numpy(), DENSE, err_msg=name)
        blocks += 1  # what is handed out is never a view of the caller's data
        np.testing.assert_array_equal(torch.cat(list(rows.blocks())).numpy(), DENSE, err_msg=name)


def test_summaries_and_units_do_not_depend_on_the_container(tmp_path):
    expected = summarize(DENSE)
    assert (expected.minimum, expected.maximum) == (0, 4)
    assert expected.median_total == np.median(DENSE.sum(1))
    for name, X in containers(tmp_path).items():
        assert summarize(X) == expected, name
        units = measure_units(X).units
        np.testing.assert_allclose(units.shift, DENSE.mean(0), err_msg=name)
        assert units.scale == pytest.approx(np.sqrt(DENSE.var(0).mean())), name


def test_binary_data_are_recognised():
    assert summarize((DENSE > 2).astype(np.uint8)).binary
    assert not summarize(DENSE).binary


def test_units_come_back_and_standardise():
    units = measure_units(DENSE).units
    inside = units.to_model(DENSE)
    np.testing.assert_allclose(inside.mean(0), 0, atol=1e-12)
    assert inside.var(0).mean() == pytest.approx(1)
    np.testing.assert_allclose(units.to_data(inside), DENSE, atol=1e-12)


def test_units_are_applied_before_rounding():
    X = 1e9 + RNG.normal(size=(30, 2))
    rows = Rows(X, units=measure_units(X).units)
    taken = rows.take(slice(None)).numpy()
    np.testing.assert_allclose(taken, rows.units.to_model(X), atol=1e-6)


def test_constant_data_have_unit_scale():
    assert measure_units(np.full((5, 2), 3.0)).units.scale == 1.0


def test_an_epoch_visits_every_row_once():
    batches = Batches(Rows(DENSE), 10, seed=0)
    assert batches.per_epoch == 4
    stream = iter(batches)
    for _ in range(3):
        epoch = torch.cat([next(stream).index for _ in range(4)])
        assert sorted(epoch.tolist()) == list(range(40))


def test_batches_carry_the_rows_that_their_index_names():
    for batch, _ in zip(Batches(Rows(DENSE), 7, seed=1), range(10), strict=False):
        np.testing.assert_array_equal(batch.x.numpy(), DENSE[batch.index.numpy()])


@pytest.mark.parametrize("few", [15, 3])
def test_processes_give_as_many_rows_each_to_a_batch(few):
    """Of 40 rows one has most: in an epoch of the other's, some of its rows come twice."""
    sizes = {0: 40 - few, 1: few}
    parts = [
        Batches(
            Rows(DENSE[:n]),
            10,
            0,
            SimpleNamespace(
                rank=rank,
                size=2,
                even_share=lambda n: n // 2,
                collect=lambda n: list(sizes.values()),
                total=lambda n: 40,
            ),
        )
        for rank, n in sizes.items()
    ]
    for part, n_rows in zip(parts, sizes.values(), strict=True):
        assert (part.batch_size, part.per_epoch) == (5, 4)
        stream = iter(part)
        epoch = torch.cat([next(stream).index for _ in range(4)])
        assert len(set(epoch.tolist())) == min(20, n_rows)


def test_subsets_are_views_of_the_same_rows():
    rows = Rows(DENSE).subset(np.array([5, 1, 30])).subset(np.array([2, 0]))
    np.testing.assert_array_equal(torch.cat(list(rows.blocks())).numpy(), DENSE[[30, 5]])
    assert len(rows) == 2
    assert rows.X is DENSE


def test_extent_is_that_of_the_entries():
    for X in (DENSE, sp.csr_array(DENSE)):
        assert extent(X) == (DENSE.min(), DENSE.max())


def test_batches_are_at_most_the_data():
    batches = Batches(Rows(DENSE[:3]), 256, seed=0)
    assert batches.per_epoch == 1
    assert len(next(iter(batches)).x) == 3


def test_blocks_are_bounded_by_memory(monkeypatch):
    monkeypatch.setattr("skvade.training.units.BLOCK_BYTES", 8 * 6 * 7)
    sizes = [len(block) for block in Rows(DENSE).blocks()]
    assert sizes == [7] * 5 + [5]


def test_sparse_rows_are_never_dense_as_a_whole():
    tall = sp.csr_array(sp.coo_array(([1.0], ([3], [7])), shape=(2_000_000, 50)))
    rows = Rows(tall)
    first = next(iter(rows.blocks()))
    assert first.numel() * 4 <= 32 * 2**20
    assert rows.take(np.arange(5)).shape == (5, 50)


def test_identical_units_change_nothing():
    assert Units().identical
    assert Units().to_model(DENSE) is DENSE


@pytest.mark.parametrize("function", [lambda x: x.cumsum(1), lambda x: x.argmax(1)])
def test_a_function_of_blocks_is_that_of_the_whole(monkeypatch, function):
    monkeypatch.setattr("skvade.training.units.BLOCK_BYTES", 8 * 4 * 7)
    X = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
    seen = []

    def noting(x):
        seen.append(len(x))
        return function(x)

    assert torch.equal(Rows(X).map(noting), function(torch.from_numpy(X)))
    assert seen == [7, 7, 7, 7, 2]
