"""What is written is read back, exactly; what was not written is refused, whatever it says."""

import contextlib
import json
import math
import os
import pickle
import tracemalloc

import numpy as np
import pytest
import safetensors
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from benchmarks.fuzz_files import identical, join, split
from skvade.persistence.container import FORMAT, read, write
from skvade.persistence.packing import METADATA, TENSOR_TYPES

VALUES = {
    "none": None,
    "booleans": [True, False],
    "integers": [0, -1, 2**63 - 1, 2**63, -(2**63) - 1, 10**5000],
    "floats": [0.1, -0.0, math.nan, math.inf, -math.inf, 5e-324],
    "text": ["", "ü😀\x00", "a lone \udc80", "long " * 1000],
    "sequences": [(), [], (1, (2, [3])), ((),)],
    "dicts": {"": {}, "a.b": {"c": 1}, "a": {"b.c": 2, "b": {"c": 3}}, METADATA: np.arange(2)},
    "long integers": list(range(-50, 50)),
    "long floats": tuple(math.nan if i % 7 == 0 else i / 3 for i in range(50)),
    "long booleans": [i % 3 == 0 for i in range(50)],
    "long texts": tuple("ü" * i for i in range(50)),
    "long mixtures": [1, 2.0, True, None, "x"] * 10,
    "great integers": [2**62, 2**64] * 20,
    "records": [{"phase": "a", "loss": i / 7} for i in range(30)]
    + [{"phase": "b", "steps": i, "loss": np.float32(i)} for i in range(30)]
    + [{"loss": 1, "phase": "c"}],
    "records without entries": [{}] * 30,
    "numbers": [np.arange(6, dtype=kind).reshape(2, 3) for kind in "bBhHiIlLefdgFD"],
    "order": [np.arange(6).reshape(2, 3).T, np.arange(9)[::-2], np.asfortranarray(np.eye(3))],
    "bytes the other way round": np.arange(3, dtype=">f8"),
    "no rows": [np.zeros((0, 3), np.float32), torch.zeros(0, 3), np.array([], dtype="U3")],
    "no dimensions": [np.array(3.5), torch.tensor(2), np.array("x")],
    "strings": [np.array(["ab", "c"]), np.array([["x", "yü"]], object), np.array([], object)],
    "byte strings": np.array([b"ab", b"c"]),
    "scalars": [np.float64(1.5), np.int8(3), np.bool_(True), np.str_("ü"), np.complex64(1j)],
    "tensors": [
        torch.arange(4).reshape(2, 2).to(getattr(torch, dtype))
        for dtype in TENSOR_TYPES
        if dtype != "complex32"
    ],
    "views": [torch.arange(6).reshape(2, 3).T, torch.zeros(3, dtype=torch.complex64).conj()],
    "parameter": torch.nn.Parameter(torch.ones(2)),
}


@pytest.mark.parametrize("name", VALUES)
def test_values_come_back_as_they_were(name, tmp_path):
    content = {"value": VALUES[name]}
    write(tmp_path / "file", "test", content)
    back = read(tmp_path / "file", "test")
    if name == "parameter":
        assert type(back["value"]) is torch.Tensor
        back["value"] = torch.nn.Parameter(back["value"])
    assert identical(back, content)


nested = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | hnp.arrays(
        st.sampled_from(["f4", "f8", "i8", "u1", "?", "U3", "c8"]),
        hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
    ),
    lambda inner: (
        st.lists(inner, max_size=20)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(), inner, max_size=3)
    ),
    max_leaves=30,
)


@settings(max_examples=60, deadline=None)
@given(content=st.dictionaries(st.text(), nested, max_size=3))
def test_anything_made_of_these_comes_back(content, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "nested"
    write(path, "test", content)
    assert identical(read(path, "test"), content)


def test_the_safetensors_package_reads_the_tensors(tmp_path):
    content = {
        "odd": np.array([True, False, True]),
        "weights": [torch.randn(3, 2), torch.randn(5).bfloat16()],
        "wide": np.arange(3.0),
    }
    write(tmp_path / "file", "test", content)
    tensors = safetensors.torch.load_file(tmp_path / "file")
    assert identical(tensors["weights.0"], content["weights"][0])
    assert identical(tensors["weights.1"], content["weights"][1])
    np.testing.assert_array_equal(tensors["wide"].numpy(), content["wide"])
    with safetensors.safe_open(tmp_path / "file", "np") as file:
        assert file.metadata()["kind"] == "test"


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ({"a": {"b": [1, object()]}}, r"a\.b\.1 is of type object,"),
        ({"a": (1, b"bytes")}, r"a\.1 is of type bytes,"),
        ({"a": {1: 2}}, r"a has the key 1 of type int,"),
        ({1: 2}, r"content has the key 1 of type int,"),
        ({"a": np.zeros(2, "M8[s]")}, r"a is of type numpy\.ndarray of dtype datetime64"),
        ({"a": np.array(["x", 1], object)}, r"a is of type numpy\.ndarray of dtype object"),
        ({"a": np.zeros(2, [("x", "f8")])}, r"a is of type numpy\.ndarray of dtype \[\('x'"),
        ({"a": torch.zeros(2, device="meta")}, r"a is of type torch\.Tensor"),
        ({"a": torch.zeros(2, 2).to_sparse()}, r"a is of type torch\.Tensor"),
        ({"a": np.ma.masked_array([1, 2])}, r"a is of type numpy\.ma\.\w*\.?MaskedArray"),
        ([1], None),
    ],
)
def test_other_values_are_refused_by_their_place(content, place, tmp_path):
    if place is None:
        write(tmp_path / "file", "test", {"a": 1})  # what follows needs a file to leave alone
        content, place = {"a": range(3)}, r"a is of type range"
    before = sorted(tmp_path.iterdir())
    with pytest.raises(TypeError, match=place):
        write(tmp_path / "file", "test", content)
    assert sorted(tmp_path.iterdir()) == before


def test_rows_of_several_kinds_take_a_table_for_each(tmp_path):
    """As a history has records with and without what some checks add."""
    rows = [{"loss": i / 7, **({"changed": 0.5} if i % 3 else {})} for i in range(20_000)]
    write(tmp_path / "file", "test", {"rows": rows, "next": 1})
    assert identical(read(tmp_path / "file", "test"), {"rows": rows, "next": 1})
    with open(tmp_path / "file", "rb") as file:
        assert int.from_bytes(file.read(8), "little") < 2_000  # bytes of the header


def test_too_many_separate_values_are_refused_before_they_are_written(tmp_path):
    with pytest.raises(ValueError, match="too many separate values"):
        write(tmp_path / "file", "test", {str(i): i for i in range(20_000)})
    assert not list(tmp_path.iterdir())


def test_too_many_rows_are_refused_before_they_are_written(tmp_path):
    rows = [{"a": {"b": {"c": True}}} for _ in range(20_000)]
    with pytest.raises(ValueError, match="too many separate values"):
        write(tmp_path / "file", "test", {"rows": rows})
    assert not list(tmp_path.iterdir())
    rows = [{"loss": i / 7, "improved": True} for i in range(20_000)]
    write(tmp_path / "file", "test", {"rows": rows})
    assert read(tmp_path / "file", "test") == {"rows": rows}


def test_arrays_are_not_copied(tmp_path):
    content = {"array": np.ones(5_000_000), "tensor": torch.ones(5_000_000)}
    tracemalloc.start()
    write(tmp_path / "file", "test", content)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000
    assert (tmp_path / "file").stat().st_size < 60_000_000 * 1.0001


# ------------------------------------------------------------------------------ defects


@pytest.fixture
def path(tmp_path):
    write(tmp_path / "file", "test", {"a": [1, "x"], "b": np.arange(1000.0), "c": torch.ones(3)})
    return tmp_path / "file"


def refuse(path, message):
    with pytest.raises(ValueError, match=message) as caught:
        read(path, "test")
    assert str(caught.value).startswith(str(path))
    assert len(str(caught.value)) < 1000


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "nothing", "test")


@pytest.mark.parametrize(
    "data", [b"", b"\x00", b"Nothing of the kind.", pickle.dumps({"a": 1}), bytes(100)]
)
def test_other_files(data, path):
    path.write_bytes(data)
    refuse(path, "is not a safetensors file")


def test_files_of_others(path):
    safetensors.torch.save_file({"a": torch.ones(2)}, path)
    refuse(path, "is a safetensors file that skvade has not written")
    safetensors.torch.save_file({"a": torch.ones(2)}, path, {"kind": "test"})
    refuse(path, "is a safetensors file that skvade has not written")


def test_another_kind(path):
    with pytest.raises(ValueError, match="holds a 'test', not a 'model'"):
        read(path, "model")


def test_every_truncation(path):
    data = path.read_bytes()
    for size in [*range(0, 600), *range(600, len(data), 97), len(data) - 1]:
        path.write_bytes(data[:size])
        refuse(path, "is truncated|is not a safetensors file")
    path.write_bytes(data[:-10])
    refuse(path, "is truncated: 10 bytes are missing at its end")


def test_every_altered_byte(path):
    data = path.read_bytes()
    for place in [*range(0, 600), *range(600, len(data), 97), len(data) - 1]:
        changed = bytearray(data)
        changed[place] ^= 0b100
        path.write_bytes(changed)
        refuse(path, "was altered|is not a|is truncated|holds a|newer format|has not written")
    changed = bytearray(data)
    changed[-5] ^= 1
    path.write_bytes(changed)
    refuse(path, "was altered after it was written: its digest is another")
    path.write_bytes(data + b"more")
    refuse(path, "was altered: it has 4 bytes too many")


def test_a_file_that_shrinks_while_it_is_read(path, monkeypatch):
    size = os.stat(path)
    path.write_bytes(path.read_bytes()[:-10])
    monkeypatch.setattr(os, "fstat", lambda descriptor: size)
    refuse(path, "was truncated while it was read")


def test_newer_formats(path):
    header, body = split(path.read_bytes())
    header[METADATA] = {
        "format": str(FORMAT + 1),
        "kind": "test",
        "versions": '{"skvade":"99.0"}',
    }
    path.write_bytes(join(header, body))
    refuse(path, "of the newer format 2, written with .*99.0.*: upgrade skvade")


def forge(path, change):
    """Change the file's header, its content or both, and give it a right digest."""
    header, body = split(path.read_bytes())
    content = json.loads(header[METADATA]["content"])
    content = change(header, content) or content
    header[METADATA]["content"] = content if type(content) is str else json.dumps(content)
    path.write_bytes(join(header, body))


def test_a_forged_file_without_changes_is_read(path):
    before = read(path, "test")
    forge(path, lambda header, content: None)
    assert identical(read(path, "test"), before)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda h, c: h["b"].update(shape=[10**12]), "entry of 'b' contradicts itself"),
        (lambda h, c: h["b"].update(shape=[-1]), "entry of 'b' contradicts itself"),
        (lambda h, c: h["b"].update(shape=[1000.0]), "entry of 'b' contradicts itself"),
        (lambda h, c: h["b"].update(shape=[True, 1000]), "entry of 'b' contradicts itself"),
        (lambda h, c: h["b"].update(shape=[1] * 40 + [1000]), "entry of 'b' contradicts itself"),
        (lambda h, c: h["b"].update(shape=1000), "entry of 'b' contradicts itself"),
        (lambda h, c: h["b"].update(dtype=["F64"]), "entry of 'b' contradicts itself"),
        (lambda h, c: h["b"].update(dtype="O"), "entry of 'b' contradicts itself"),
        (lambda h, c: h["b"].pop("shape"), "entry of 'b' contradicts itself"),
        (lambda h, c: h.update(b=3), "entry of 'b' contradicts itself"),
        (lambda h, c: h["b"].update(data_offsets=[8, 8008]), "does not begin where another"),
        (lambda h, c: h.update(d=h["c"]), "does not begin where another"),
        (
            lambda h, c: h.update(d={**h["c"], "shape": [0], "data_offsets": [0, 0]}),
            "belong nowhere",
        ),
        (lambda h, c: h["b"].update(dtype="I64"), "is not of the type that it should be"),
        (lambda h, c: c.update(b=["array", "b", "|O8"]), r"'\|O8' is no type of arrays"),
        (lambda h, c: c.update(b=["array", "b", "f8,f8"]), "is no type of arrays"),
        (lambda h, c: c.update(b=["tensor", "b", "nn"]), "was altered"),
        (lambda h, c: c.update(b=["array", "c", "<f4"]), "was altered"),
        (lambda h, c: c.update(b=["numbers", 3]), "was altered"),
        (lambda h, c: c.update(a=["os.system", "true"]), "has no meaning"),
        (lambda h, c: c.update(a=[]), "has no meaning"),
        (lambda h, c: c.update(a=["float", "1e5"]), "has no meaning"),
        (lambda h, c: "[1]", "is no object"),
        (lambda h, c: '{"a": NaN}', "NaN is not JSON"),
        (lambda h, c: '{"a": ' + "9" * 5000 + "}", "was altered"),
        (lambda h, c: '{"a": ' + "[" * 9000 + "]" * 9000 + "}", "was altered"),
        (lambda h, c: '{"a": ' + "[[]," * 500_000 + "[]]}", "holds too much for its size"),
        (lambda h, c: '{"a": "' + "\\u005b" * 500_000 + '"}', "holds too much for its size"),
        (lambda h, c: h[METADATA].update(more="x"), "its metadata is not complete"),
        (lambda h, c: h[METADATA].update(format="x"), "its format has no number"),
        (lambda h, c: h[METADATA].update(format=1), "its metadata is not text"),
    ],
)
def test_forged_files(change, message, path):
    def changed(header, content):
        result = change(header, content)
        return result if type(result) is str else None

    forge(path, changed)
    tracemalloc.start()
    refuse(path, message)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**21 + 4 * path.stat().st_size


def tables(depth, column):
    """Tables in tables: a dict at every depth for each entry of the column."""
    return column if not depth else ["dicts", {"a": tables(depth - 1, column)}]


EMPTY, HUGE = np.zeros((0, 0)), 2**50
SMALL_FILES = {  # with much in them: arrays of the file, and what its header says of them
    "lists in a list": ({"b": EMPTY}, [HUGE, 0], lambda n: ["numbers", n]),
    "no entries": ({"b": EMPTY}, [0, HUGE], lambda n: ["numbers", n]),
    "lengths of texts": (
        {"b": EMPTY, "t": np.zeros(0, np.uint8)},
        [HUGE, 0],
        lambda n: ["texts", ["array", "t", "|u1"], n],
    ),
    "short lengths of texts": (
        {"b": np.zeros(30_000, np.int8), "t": np.zeros(0, np.uint8)},
        [30_000],
        lambda n: ["texts", ["array", "t", "|u1"], n],
    ),
    "numbers of one byte": (
        {"b": np.zeros(30_000, np.int8)},
        [30_000],
        lambda n: ["numbers", n],
    ),
    "tables in tables": (
        {"b": np.ones(30_000, bool)},
        [30_000],
        lambda n: tables(60, ["numbers", n]),
    ),
}


@pytest.mark.parametrize("name", SMALL_FILES)
def test_small_files_take_little_memory(name, tmp_path):
    arrays, shape, node = SMALL_FILES[name]
    path = tmp_path / "file"
    write(path, "test", arrays)

    def change(header, content):
        header["b"]["shape"] = shape
        content["b"] = node(content["b"])
        if "texts" in content["b"]:
            del content["t"]

    forge(path, change)
    tracemalloc.start()
    refuse(path, "was altered")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6 * 2**20


@pytest.mark.parametrize("dtype", ["<U100000000", "|S400000000", "<U999999999"])
def test_strings_of_any_length_take_no_memory(dtype, tmp_path):
    """Where there are none."""
    path = tmp_path / "file"
    write(path, "test", {"b": np.array([], "U3")})

    def change(header, content):
        header["b"]["shape"] = [0, 400_000_000]
        content["b"][2] = dtype

    forge(path, change)
    tracemalloc.start()
    with contextlib.suppress(ValueError):
        assert read(path, "test")["b"].shape == (0,)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


def test_texts_and_booleans_are_checked(tmp_path):
    path = tmp_path / "file"
    for value, place, byte, message in [
        (np.array(["ab", "cd"]), 3, 0xFF, "characters that do not exist"),
        (np.array([True, False]), 0, 7, "neither true nor false"),
        (["x" * i for i in range(20)], 0, 200, "lengths of texts contradict"),
        (["x" * i for i in range(20)], -1, 0xFF, "was altered"),
    ]:
        write(path, "test", {"value": value})
        header, body = split(path.read_bytes())
        changed = bytearray(body)
        changed[place] = byte
        path.write_bytes(join(header, bytes(changed)))
        refuse(path, message)
