"""Labels of rows as a user passes them, some of which may be missing."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import assert_all_finite, column_or_1d

from skvade.estimators.validation import is_absent, warn

UNLABELED = -1


def as_labels(y: Any) -> np.ndarray:
    """One-dimensional labels: strings beside -1 as objects, all others in a dtype of their own."""
    _refuse_absent(y)
    y = column_or_1d(y, warn=True)
    if y.dtype.kind == "O":
        if any(isinstance(label, str) for label in y):
            known = [label for label in y if not _is_missing(label)]
            if str(UNLABELED) in known:
                raise ValueError(
                    f"y holds the string '{UNLABELED}'; write the number -1 in an object array, in "
                    "which it marks rows without a label: y.astype(object), then set it there."
                )
            if not all(isinstance(label, str) for label in known):
                raise ValueError(
                    "y mixes strings with other labels; use one kind, and -1 (the number, in an "
                    "object array) for rows without a label."
                )
            return y
        y = np.array(y.tolist())
    if y.dtype.kind in "US" and np.any(y == np.array(str(UNLABELED), y.dtype)):
        raise ValueError(
            "y holds the string '-1', as a list of strings and -1 becomes in numpy; pass "
            "np.array(y, dtype=object), in which -1 stays a number and marks rows without a label."
        )
    if y.dtype.kind in "fc":
        assert_all_finite(y, input_name="y")
    return y


def missing_labels(y: np.ndarray, n_classes: int | None, numbers: set[float]) -> np.ndarray:
    """Which labels are missing, where these numbers are present in any process."""
    if y.dtype.kind == "O":
        return np.array([_is_missing(label) for label in y], bool)
    if y.dtype.kind not in "iuf":
        return np.zeros(len(y), bool)
    missing = y == UNLABELED
    # One class among unlabelled rows leaves nothing to tell apart: -1 and 1 are two classes.
    pair = n_classes is None and numbers == {-1, 1}
    if pair:
        warn(
            "y holds -1 and 1 alone, which are taken as two classes. If -1 marks rows without a "
            "label, set n_classes to the number of classes; else name them otherwise, 0 and 1.",
            UserWarning,
        )
    return missing & (not pair)


def with_unnamed(names: np.ndarray, n_unnamed: int) -> np.ndarray:
    """The labels, and as many integers after the largest of them, from 0."""
    if not n_unnamed:
        return names
    if not len(names):
        return np.arange(n_unnamed)
    if names.dtype.kind not in "iu":
        raise ValueError(
            f"n_classes asks for {n_unnamed} more classes than y names, which can only be named "
            f"after integers; y has {names.dtype} labels. Encode y, or set n_classes=None."
        )
    return np.array([*names.tolist(), *(max(-1, int(names[-1])) + 1 + np.arange(n_unnamed))])


def _refuse_absent(y: Any) -> None:
    """Rows without a label are marked by -1; None, NaN, NaT and pandas' NA may be mistakes."""
    values = np.asarray(y).ravel()
    if values.dtype.kind in "fcmM":
        (rows,) = np.nonzero(np.isnat(values) if values.dtype.kind in "mM" else np.isnan(values))
    elif values.dtype.kind == "O":
        rows = [row for row, value in enumerate(values) if is_absent(value)]
    else:
        return
    if len(rows):
        more = f" (and in {len(rows) - 1} more)" if len(rows) > 1 else ""
        kind = "NaN" if values.dtype.kind in "fc" else str(values[rows[0]])
        raise ValueError(
            f"Input y contains {kind} in row {rows[0]}{more}; pass -1 for rows "
            "without a label, beside strings as a number: pandas' y.astype(object).fillna(-1)."
        )


def _is_missing(label: Any) -> bool:
    return not isinstance(label, str) and label == UNLABELED
