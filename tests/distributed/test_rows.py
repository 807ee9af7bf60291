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


def test_an_index_of_pandas_is_no_feature(tmp_path):
    pd, _ = pytest.importorskip("pandas"), pytest.importorskip("pyarrow")
    frame = pd.DataFrame(TABLE, columns=NAMES)
    frame.sample(frac=1, random_state=0).to_parquet(tmp_path / "rows.parquet")
    assert np.concatenate(parts(tmp_path / "rows.parquet")).shape == TABLE.shape
    named = parts(tmp_path / "rows.parquet", columns=["__index_level_0__", "a"])
    assert sorted(np.concatenate(named)[:, 0]) == list(range(len(TABLE)))


def test_all_have_the_same_dtype_where_files_differ(tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    for number, dtype in enumerate([np.int32, np.float32]):
        pq.write_table(pa.table({"a": np.arange(5, dtype=dtype)}), tmp_path / f"{number}.parquet")
    found = parts(tmp_path, 2)
    assert {part.dtype for part in found} == {np.dtype(np.float64)}
    np.testing.assert_array_equal(np.concatenate(found)[:, 0], [*range(5), *range(5)])
    pq.write_table(pa.table({"a": pa.array([31, None], pa.int64())}), tmp_path / "0.parquet")
    pq.write_table(pa.table({"a": pa.array([22, 50], pa.int32())}), tmp_path / "1.parquet")
    found = parts(tmp_path, 2)
    assert {part.dtype for part in found} == {np.dtype(np.float64)}
    np.testing.assert_array_equal(np.concatenate(found)[:, 0], [31, np.nan, 22, 50])


def test_categories_of_pandas_are_read(tmp_path):
    pd, _ = pytest.importorskip("pandas"), pytest.importorskip("pyarrow")
    frame = pd.DataFrame({"a": pd.Categorical(["u", "v", "u"]), "b": [1.0, 2.0, 3.0]})
    frame.to_parquet(tmp_path / "rows.parquet")
    assert np.concatenate(parts(tmp_path / "rows.parquet", 2)).tolist() == frame.to_numpy().tolist()


@pytest.mark.parametrize("write", [npy, parquet_file, zarr_array])
def test_fewer_rows_than_processes_are_an_error_of_all(write, tmp_path):
    path = write(tmp_path)
    for rank in (0, 103):
        with among(member(rank, 104)), pytest.raises(ValueError, match="103 rows, fewer than"):
            distributed.load_rows(path)


def test_other_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing at path=.*rows\.npy"):
        distributed.load_rows(tmp_path / "rows.npy")
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match=r"path must be .* got .*rows\.csv"):
        distributed.load_rows(tmp_path / "rows.csv")
