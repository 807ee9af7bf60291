"""What every fitted estimator does: predict, decode, fill, report and save."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_array

from skvade.estimators import validation
from skvade.estimators.columns import Columns
from skvade.estimators.comparison import objections
from skvade.estimators.exported import write_onnx
from skvade.estimators.predictor import Predictor, of_one_fit
from skvade.estimators.report import Report, describe
from skvade.nn.mixed import FAMILIES
from skvade.persistence import model_file
from skvade.training.units import FAR, extent, has_holes


class FittedMixin(ClassNamePrefixFeaturesOutMixin, TransformerMixin):
    """Methods of an estimator that is fitted, each of one fit whatever other threads do."""

    _gives_numbers = False  # where a table of several kinds came in

    @of_one_fit
    def report(self) -> Report:
        """What happened in the fit, and what its checks found.

        Returns
        -------
        Report
            `print` it; its `findings` name what speaks against the run, as the warnings of `fit`
            did, and `trustworthy` is True if there is nothing. That promises nothing: no check
            knows the right clusters.
        """
        compared = getattr(self, "_comparison", {})  # of clusterers, and not of older pickles
        return describe(self, (*self._findings, *self._objections()), compared)

    @of_one_fit
    def save(self, path: Any) -> None:
        """Write the fitted estimator to one file, which :func:`skvade.load` reads.

        The file is in the safetensors format and holds tensors and plain values, no code: loading
        executes nothing. It takes the place of an older one when it is complete, and not before,
        and has its mode. It holds one fit whole, also while another thread fits; of what
        scikit-learn keeps on an estimator, the output of `set_output` and requests of metadata come
        back, callbacks do not.

        Parameters
        ----------
        path : str, bytes or path-like
            Such as "model.safetensors". Links are followed.

        Raises
        ------
        NotFittedError
            If there is nothing to save.
        TypeError
            If a parameter could only be loaded by executing code, such as a clusterer as `init`;
            the message names it. Of an `encoder` or `decoder` of your own the tensors are saved,
            and :func:`skvade.load` asks for the module. If the path is none.
        ValueError
            If the path is not that of a regular file but of a folder, a device, a pipe or the like.
        OSError
            If the file cannot be written; an older one is left as it was.
        """
        model_file.save(self, path)

    @of_one_fit
    def to_onnx(self, path: Any) -> None:
        """Write the fitted model as an ONNX file: see :func:`skvade.to_onnx`.

        Parameters
        ----------
        path : str, bytes or path-like
            Such as "model.onnx".
        """
        write_onnx(self, path)

    @of_one_fit
    def predict(self, X: Any) -> np.ndarray:
        """The most probable cluster of each row.

        Parameters
        ----------
        X : {array-like, sparse matrix, sparse array} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,), int64
            Clusters from 0, the largest in training first.
        """
        return self._predictor.labels(self._check_new(X))

    @of_one_fit
    def predict_proba(self, X: Any) -> np.ndarray:
        """The probability of each cluster given each row.

        It is ``(1 - doubt_) q(c|x) + doubt_ / n_clusters``. The q(c|x) that the class's
        description defines says how far clusters lie apart in the model, and is mostly near 0 or 1.
        With `doubt_` the mean probability of the training rows in their clusters is the share of
        their neighbours that are in the same one; where clusters are classes, that is about the
        share of rows that are right. Of a row with missing values q(c|x) is the mean over sixteen
        draws of these given the others, which are the same in every call. It is computed row by
        row, in float32 for float32 and narrower data and in float64 otherwise.

        Parameters
        ----------
        X : {array-like, sparse matrix, sparse array} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_clusters)
        """
        return self._predictor.proba(self._check_new(X))

    @of_one_fit
    def transform(self, X: Any) -> np.ndarray:
        """The latent code of each row: m(x), the mean of q(z|x) in models that have one.

        Parameters
        ----------
        X : {array-like, sparse matrix, sparse array} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, latent_dim)
            In units of the pooled standard deviation within clusters at the start of training.
        """
        return self._predictor.of_rows(self._check_new(X), lambda module, x: module.embed(x))

    @of_one_fit
    def impute(self, X: Any) -> Any:
        """The same rows with missing values filled by the model: E[x|z] at each row's code.

        Observed values stay as they are. Where the encoder sees nothing, it sees what the row's
        other values lead one to expect, by probabilistic principal components.

        Parameters
        ----------
        X : {array-like, sparse matrix, sparse array} of shape (n_samples, n_features)
            With NaN, or pandas' NA, where a value is missing.

        Returns
        -------
        {ndarray, DataFrame, sparse container} of shape (n_samples, n_features)
            A pandas DataFrame has the index and the columns of X; a sparse X stays sparse, and
            only its explicit NaN are filled; of all else comes an array. Columns of whole numbers
            with holes become floats. Where the model was fitted to a table with categories, a table
            like that, with the dtypes of the fit unless these would change observed values.
        """
        rows = self._check_new(X)
        decoded = self._predictor.of_rows(rows, lambda m, x: m.expected_rows(x), n_draws=1)
        expected = self._units.to_data(decoded)
        if self._columns_in_use is not None:
            return self._columns_in_use.fill(X, rows, expected)
        if sp.issparse(rows):
            filled = rows.tocoo(copy=True)
            holes = np.isnan(filled.data)
            filled.data[holes] = expected[filled.row[holes], filled.col[holes]]
            return filled.asformat(rows.format)
        if rows.dtype.kind != "f":
            return X.copy() if hasattr(X, "iloc") else rows.copy()
        filled = np.where(np.isnan(rows), expected.astype(rows.dtype, copy=False), rows)
        if not (hasattr(X, "iloc") and hasattr(X, "columns")):
            return filled
        frame = X.copy()
        for number in range(X.shape[1]):
            if np.isnan(rows[:, number]).any():
                frame.isetitem(number, filled[:, number])
        return frame

    @of_one_fit
    def inverse_transform(self, X: Any) -> np.ndarray:
        """Decode latent codes to expected rows, E[x|z].

        Parameters
        ----------
        X : array-like of shape (n_samples, latent_dim)
            Codes, as `transform` returns them.

        Returns
        -------
        {ndarray, DataFrame} of shape (n_samples, n_features)
            In the units of the training data. Counts are decoded for its median row sum. Where the
            model was fitted to a table with categories, a table like that: the most probable
            category, and the nearest whole number where there were such.
        """
        rows = self._decode(self._check_codes(X), lambda module, z: module.expect(z))
        return self._given_back(rows)

    @property
    def _predictor(self) -> Predictor:
        doubt = getattr(self, "doubt_", 0.0)  # pickles of older versions have none
        return Predictor(self.module_, self._units, self._dtype, doubt)

    @property
    def _columns_in_use(self) -> Columns | None:
        """Those of a table of several kinds; None where all are numbers of one kind."""
        return getattr(self, "_columns", None)

    @staticmethod
    def _columns_from(values: dict[str, Any]) -> Columns:
        """Those of a file."""
        return Columns.of(values)

    def _given_back(self, rows: np.ndarray) -> Any:
        """Decoded rows in the columns that came in."""
        columns = None if self._gives_numbers else self._columns_in_use
        return rows if columns is None else columns.decode(rows)

    def _one_of_each(self, X: Any) -> Any:
        """Of rows as numbers, one column for each that came in."""
        columns = self._columns_in_use
        return X if columns is None else X[:, columns.firsts]

    def _check_rows(self, X: Any, *, reset: bool) -> Any:
        """The rows as numbers, with the columns that were fitted."""
        columns = self._columns_in_use
        if columns is None:
            return validation.check_rows(self, X, reset=reset)
        validation.check_columns(self, X, reset=reset)
        return columns.encode(X)

    @property
    def _n_features_out(self) -> int:
        return self.means_.shape[1]

    def _objections(self) -> tuple[str, ...]:
        """What speaks against the fit in the report alone, and is no warning."""
        return objections(getattr(self, "_comparison", {}))

    def _check_new(self, X: Any) -> Any:
        X = self._check_rows(X, reset=False)
        if self._n_filling is None:
            validation.check_can_miss(self, has_holes(X))
        likelihood = FAMILIES[self.likelihood_]
        if likelihood.bounded:
            validation.check_support(self.likelihood_, likelihood, *extent(X))
        return X

    def _check_codes(self, X: Any) -> np.ndarray:
        codes = check_array(X, dtype=[np.float64, np.float32], input_name="X")
        if codes.shape[1] != len(self.means_[0]):
            raise ValueError(
                f"X has {codes.shape[1]} columns, but inverse_transform expects codes with "
                f"latent_dim={len(self.means_[0])} columns, as transform returns them."
            )
        row, column = divmod(int(np.abs(codes).argmax()), codes.shape[1])
        if abs(codes[row, column]) > FAR:
            raise ValueError(
                f"X has the code {codes[row, column]:.3g} in row {row}, column {column}, beyond "
                f"the {FAR:.0e} that can be decoded; codes of data lie within some tens of zero."
            )
        return codes

    def _decode(
        self, codes: np.ndarray, function: Callable[[Any, torch.Tensor], torch.Tensor]
    ) -> np.ndarray:
        return self._predictor.of_codes(codes, function, self._summary.n_features)
