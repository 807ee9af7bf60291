"""Records of measurements, one a line of a file, each made once."""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Callable, Iterable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

Record = dict[str, Any]


def read(path: Path) -> list[Record]:
    """All records of a file; none, where there is no file."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def put(
    record: Record,
    path: Path,
    key: Callable[[Record], Any],
    order: Callable[[Record], Any] | None = None,
) -> None:
    """Add a record to a file, in the place of one with the same key; sorted by key or order."""
    records = [old for old in read(path) if key(old) != key(record)] + [record]
    records.sort(key=order or key)
    path.write_text("".join(json.dumps(r) + "\n" for r in records))


def complete(
    path: Path,
    names: Sequence[str],
    cases: Iterable[tuple[Any, ...]],
    measure: Callable[..., list[Record]],
) -> list[Record]:
    """All records of a file, after those of missing cases have been measured and added.

    Parameters
    ----------
    path : Path
    names : sequence of str
        The keys of a record that say of which case it is.
    cases : iterable of tuple
        The values of these keys, which `measure` takes.
    measure : callable
        Returns the records of a case.
    """
    records = read(path)
    known = {tuple(record[name] for name in names) for record in records}
    for case in cases:
        if case in known:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            new = measure(*case)
        with path.open("a") as file:
            file.writelines(json.dumps(record) + "\n" for record in new)
        records += new
        print(*case, flush=True)
    return records


def measure_and_print(
    description: str,
    path: Path,
    axes: dict[str, Sequence[Any]],
    measure: Callable[..., list[Record]],
    table: Callable[[list[Record]], str],
    *,
    names: Sequence[str] | None = None,
    cases: Callable[..., Iterable[tuple[Any, ...]]] = product,
) -> None:
    """What a benchmark does as a command: measure the cases without a record, print the table.

    Parameters
    ----------
    description : str
        Its first line is what `--help` says.
    path : Path
    axes : dict of str to sequence
        What may be asked for, and is by default: "set" has the option `--sets`.
    measure : callable
    table : callable
        Takes all records to what is printed. `--table` prints it without measuring.
    names : sequence of str or None
        The keys of a record that say of which case it is; those of the axes if None.
    cases : callable
        Takes the values that are asked for, axis by axis, to the cases.
    """
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    for name, values in axes.items():
        text = ",".join(map(str, values))
        parser.add_argument(f"--{name}s", default=text, help="with commas between them")
    parser.add_argument("--table", action="store_true", help="measure nothing")
    given = vars(parser.parse_args())
    asked = [
        [type(values[0])(text) for text in given[f"{name}s"].split(",")]
        for name, values in axes.items()
    ]
    wanted = [] if given["table"] else cases(*asked)
    print(table(complete(path, tuple(names or axes), wanted, measure)))
