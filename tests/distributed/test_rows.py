"""Each process reads its own part of a table, and all parts together are the table."""

import numpy as np
import pytest

from skvade import distributed
from skvade.training.peers import Peers, among

TABLE = np.random.default_rng(0).normal(size=(103, 4))
NAMES = list("abcd")


def member(rank, size):
    """One of several processes, as far as readers ask."""
    peers = Peers()
    peers.rank, peers.size = rank, size
    return peers


def parts(path, size=4, **given):
    found = []
    for rank in range(size):
        with among(member(rank, size)):
            found.append(distributed.load_rows(path, **given))
    return found


def npy(folder):
    np.save(folder / "rows.npy", TABLE)
    return folder / "rows.npy"


def parquet_file(folder):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    table = pa.table(dict(zip(NAMES, TABLE.T, strict=True)))
    pq.write_table(table, folder / "rows.parquet", row_group_size=10)
    return folder / "rows.parquet"


def parquet_files(folder):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    for number, block in enumerate(np.array_split(TABLE, 5)):
        table = pa.table(dict(zip(NAMES, block.T, strict=True)))
        pq.write_table(table, folder / f"part-{number}.parquet", row_group_size=7)
    return folder


def parquet_files_of_other_orders(folder):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    for number, block in enumerate(np.array_split(TABLE, 3)):
        table = pa.table(dict(zip(NAMES, block.T, strict=True)))
        order = NAMES if number == 0 else NAMES[::-1]
        pq.write_table(table.select(order), folder / f"part-{number}.parquet")
    return folder


def zarr_array(folder):
    zarr = pytest.importorskip("zarr")
    zarr.save(str(folder / "rows.zarr"), TABLE)
    return folder / "rows.zarr"


@pytest.mark.parametrize(
    "write", [npy, parquet_file, parquet_files, parquet_files_of_other_orders, zarr_array]
)
@pytest.mark.parametrize("size", [1, 2, 4, 7])
def test_the_parts_are_the_table(write, size, tmp_path):
    found = parts(write(tmp_path), size)
    np.testing.assert_array_equal(np.concatenate(found), TABLE)
    assert {len(part) for part in found} <= {103 // size, 103 // size + 1}


def test_a_memory_map_is_not_read_before_it_is_used(tmp_path):
    (part, *_) = parts(npy(tmp_path))
    assert isinstance(part, np.memmap)


def test_only_own_row_groups_are_read(tmp_path, monkeypatch):
    path = parquet_file(tmp_path)
    import pyarrow.parquet as pq

    read = []
    whole = pq.ParquetFile.read_row_groups

    def noted(self, groups, **kwargs):
        read.append(list(groups))
        return whole(self, groups, **kwargs)

    monkeypatch.setattr(pq.ParquetFile, "read_row_groups", noted)
    parts(path, 2)
    assert read == [[0, 1, 2, 3, 4, 5], [5, 6, 7, 8, 9, 10]]


def test_columns_by_name(tmp_path):
    found = np.concatenate(parts(parquet_files(tmp_path), columns=["c", "a"]))
    np.testing.assert_array_equal(found, TABLE[:, [2, 0]])
    np.save(tmp_path / "rows.npy", TABLE)
    with pytest.raises(ValueError, match="columns must be None"):
        distributed.load_rows(tmp_path / "rows.npy", columns=["a"])


def test_other_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing at path=.*rows\.npy"):
        distributed.load_rows(tmp_path / "rows.npy")
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match=r"path must be .* got .*rows\.csv"):
        distributed.load_rows(tmp_path / "rows.csv")
