"""Which columns of a table hold categories, which numbers, and of what kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any

import numpy as np

from skvade.estimators.columns import CATEGORICAL, Column, Columns
from skvade.estimators.tables import (
    as_table,
    chosen_of,
    column_of,
    container_of,
    factorize,
    holds_texts,
    plain,
    plain_name,
    sorting,
)
from skvade.estimators.validation import as_numbers, refuse_sparse
from skvade.nn.likelihoods import LIKELIHOODS
from skvade.training.peers import Peers

FEW, SHARE = 50, 1 / 3  # texts with more values than both are no categories


@dataclass(frozen=True)
class Seen:
    """What a process has seen of a column.

    Attributes
    ----------
    column : Column
        Without the likelihood of numbers, where the user has not named it.
    observed : int
        Values that are there.
    binary : bool
        Whether all numbers are zero or one.
    text : bool
        Whether it is taken for categories because it holds texts.
    """

    column: Column
    observed: int
    binary: bool
    text: bool = False


def look(estimator: Any, X: Any) -> tuple[str, list[Seen]] | None:
    """What this process's rows tell of the columns; None where these are plain numbers.

    Raises
    ------
    ValueError, TypeError
        If `categorical_features` or `likelihood` name what is not there, or values are no
        categories.
    """
    chosen, given = estimator.categorical_features, estimator.likelihood
    if chosen is None and not isinstance(given, Mapping):
        return None
    refuse_sparse(X)
    container, X = container_of(X), as_table(X)
    framed = hasattr(X, "iloc")
    n_columns = X.shape[1]
    names = [plain_name(name) for name in X.columns] if framed else list(range(n_columns))
    kinds = _kinds(given, names)
    texts: set[int] = set()
    if isinstance(chosen, str):
        if framed:
            texts = {n for n in range(n_columns) if n not in kinds and holds_texts(column_of(X, n))}
            dtypes = {n for n in range(n_columns) if str(X.dtypes.iloc[n]) == "category"}
            kinds = {**dict.fromkeys(texts | dtypes, CATEGORICAL), **kinds}
        elif X.dtype.kind in "OUS" and any(holds_texts(column_of(X, n)) for n in range(n_columns)):
            raise ValueError(
                "categorical_features='from_dtype' reads the dtypes of a DataFrame's columns, got "
                f"an array of dtype {X.dtype} with texts; pass a DataFrame (of a step before, "
                "set_output(transform='pandas')), or the numbers of the columns with categories."
            )
    elif chosen is not None:
        for number in _numbers_of(chosen, names):
            if kinds.setdefault(number, CATEGORICAL) != CATEGORICAL:
                raise ValueError(
                    f"Column {names[number]!r} is named in categorical_features, and "
                    f"likelihood={kinds[number]!r} is asked for it; name it in one of them."
                )
    if CATEGORICAL not in kinds.values() and not isinstance(given, Mapping):
        return None
    of_numbers = "" if isinstance(given, Mapping) or given == "auto" else given
    seen = []
    for number, name in enumerate(names):
        dtype = str(X.dtypes.iloc[number]) if framed else X.dtype.name
        kind = kinds.get(number, of_numbers)
        values = column_of(X, number)
        if kind == CATEGORICAL:
            seen.append(_see_categories(Column(name, kind, dtype), values, number in texts))
        else:
            numbers = as_numbers(chosen_of(X, [number]), [name])
            observed = numbers[~np.isnan(numbers)]
            binary = bool(np.isin(observed, (0, 1)).all())
            seen.append(Seen(Column(name, kind, dtype), len(observed), binary))
    return container, seen


def asked_otherwise(estimator: Any, columns: Columns | None) -> list[Any]:
    """The columns of a fit of which `categorical_features` and `likelihood` now say other things.

    None stands for columns of plain numbers. What follows from rows is not looked at: "auto", and
    "from_dtype".
    """
    chosen, given = estimator.categorical_features, estimator.likelihood
    if columns is None:
        given_by = np.asarray([] if chosen is None or isinstance(chosen, str) else chosen)
        is_mask = given_by.dtype.kind == "b"
        named = (np.flatnonzero(given_by) if is_mask else given_by).tolist()
        return [*given, *named] if isinstance(given, Mapping) else named
    names = [column.name for column in columns.columns]
    were = [CATEGORICAL if c.categories else c.likelihood for c in columns.columns]
    kinds = _kinds(given, names)
    if not isinstance(chosen, str):
        numbers = _numbers_of(() if chosen is None else chosen, names)
        kinds = {**kinds, **dict.fromkeys(numbers, CATEGORICAL)}
        others = [n for n, kind in enumerate(were) if kind == CATEGORICAL and n not in kinds]
        kinds |= dict.fromkeys(others, "")
    if not isinstance(given, Mapping) and given != "auto":
        kinds = {**{n: given for n, kind in enumerate(were) if kind != CATEGORICAL}, **kinds}
    return [names[number] for number, kind in sorted(kinds.items()) if kind != were[number]]


def settle(found: tuple[str, list[Seen]] | None, peers: Peers) -> Columns | None:
    """What all processes' rows together tell of the columns.

    Raises
    ------
    ValueError
        In all processes, if a column has no values, or texts are no categories.
    """
    of_all = peers.collect(found)
    with peers.alike():
        if any((other is None) != (of_all[0] is None) for other in of_all):
            raise ValueError(
                "All processes must have columns of the same kinds, and some have categories where "
                "others have numbers only; name them in categorical_features."
            )
        if found is None or of_all[0] is None:
            return None
        columns = tuple(map(_together, zip(*(seen for _, seen in of_all), strict=False)))
        return Columns(columns, of_all[0][0])


def _together(seen: tuple[Seen, ...]) -> Column:
    column, observed = seen[0].column, sum(one.observed for one in seen)
    if any((one.column.likelihood, one.text) != (column.likelihood, seen[0].text) for one in seen):
        raise ValueError(
            f"Column {column.name!r} holds categories in some processes and numbers, or nothing, "
            "in others; name it in categorical_features."
        )
    if not observed:
        raise ValueError(
            f"X has no value but NaN in column {column.name!r}; leave the column out, or fill it."
        )
    if column.likelihood != CATEGORICAL:
        binary = all(one.binary for one in seen)
        likelihood = column.likelihood or ("bernoulli" if binary else "gaussian")
        return replace(column, likelihood=likelihood)
    values = {category for one in seen for category in one.column.categories}
    if seen[0].text and len(values) > max(FEW, SHARE * observed):
        raise ValueError(
            f"Column {column.name!r} holds texts with {len(values)} different values in {observed} "
            "rows, too many for categories; leave it out, make numbers of it, or name it in "
            "categorical_features."
        )
    levels = {level: place for place, level in enumerate(column.levels)}
    in_order = sorted(values, key=lambda v: (levels.get(v, len(levels)), *sorting(v)))
    likelihood = "bernoulli" if len(in_order) <= 2 else CATEGORICAL
    return replace(column, likelihood=likelihood, categories=tuple(in_order))


def _see_categories(column: Column, values: Any, text: bool) -> Seen:
    try:
        codes, found = factorize(values)
    except TypeError as error:  # lists, say
        raise ValueError(
            f"Column {column.name!r} holds values that cannot be categories ({error}); make texts "
            "of them, or leave the column out."
        ) from error
    for value in found:
        if not isinstance(value, str | bool | int | float):
            raise ValueError(
                f"Column {column.name!r} holds {value!r}, a {type(value).__name__}, and categories "
                "are texts, numbers or truth values; convert the column, or leave it out."
            )
    levels: tuple[Any, ...] = ()
    ordered = False
    if column.dtype == "category":
        levels, ordered = tuple(plain(values.cat.categories)), bool(values.cat.ordered)
    seen = replace(column, categories=tuple(found), levels=levels, ordered=ordered)
    return Seen(seen, int((codes >= 0).sum()), False, text)


def _kinds(given: Any, names: list[Any]) -> dict[int, str]:
    """What `likelihood` says of columns, by their numbers."""
    if not isinstance(given, Mapping):
        return {}
    known = (*LIKELIHOODS, CATEGORICAL)
    kinds = {}
    for name, kind in given.items():
        if kind not in known:
            raise ValueError(
                f"The 'likelihood' parameter must be a str among {sorted(known)} for each column, "
                f"got {kind!r} for column {name!r}."
            )
        kinds[_number_of(name, names, "likelihood")] = kind
    return kinds


def _numbers_of(chosen: Any, names: list[Any]) -> Iterator[int]:
    """The numbers of the columns that `categorical_features` names."""
    chosen = np.asarray(chosen)
    if chosen.ndim != 1:
        raise ValueError(
            "categorical_features must be one-dimensional, a mask, numbers or names of columns, "
            f"got an array of shape {chosen.shape}."
        )
    if chosen.dtype.kind == "b":
        if len(chosen) != len(names):
            raise ValueError(
                f"categorical_features is a mask of {len(chosen)} columns, but X has {len(names)}; "
                "give one value for each column."
            )
        yield from np.flatnonzero(chosen).tolist()
    elif chosen.dtype.kind in "iuOUT" or not len(chosen):
        for name in dict.fromkeys(chosen.tolist()):
            yield _number_of(name, names, "categorical_features")
    else:
        raise ValueError(
            "categorical_features must be a mask, or numbers or names of columns, got an array of "
            f"dtype {chosen.dtype}."
        )


def _number_of(name: Any, names: list[Any], parameter: str) -> int:
    if isinstance(name, Integral) and not isinstance(name, bool):  # a place, whatever the names
        if -len(names) <= name < len(names):
            return int(name) % len(names)
        raise ValueError(
            f"{parameter} names column {name}, but X has columns 0 to {len(names) - 1}."
        )
    if name in names and not isinstance(name, bool):
        return names.index(name)
    cure = "pass a DataFrame, or numbers of columns"
    if not all(isinstance(number, int) for number in names):
        shown = ", ".join(map(repr, names[:10])) + (", ..." if len(names) > 10 else "")
        cure = f"its columns are {shown}"
    raise ValueError(f"{parameter} names column {name!r}, which X has not; {cure}.")
