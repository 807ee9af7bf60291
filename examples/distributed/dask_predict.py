"""Prediction over the partitions of Dask, and a search whose fits Dask's workers run.

    pip install "skvade[dask]"
    python examples/distributed/dask_predict.py

Prediction needs no group: every partition is labelled by the one saved model. In a search every
fit is a process's own, so that scikit-learn's joblib backend spreads it as any other estimator's.
"""

import tempfile
from pathlib import Path

import dask.array
import dask.dataframe
import joblib
import numpy as np
import pandas as pd
from dask.distributed import Client, LocalCluster
from sklearn.datasets import load_digits
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import GridSearchCV, KFold

import skvade
from skvade import VaDEClustering


def predict(rows, path):
    """Labels of a block of rows."""
    return skvade.load(path).predict(np.asarray(rows))


def main():
    X, y = load_digits(return_X_y=True)
    X = X / 16
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "digits.safetensors")
        VaDEClustering(n_clusters=10, random_state=0).fit(X).save(path)

        rows = dask.array.from_array(X, chunks=(500, X.shape[1]))
        labels = rows.map_blocks(predict, path, drop_axis=1, dtype=np.int64).compute()
        print(f"array: {len(labels)} labels in {rows.numblocks[0]} blocks")

        frame = dask.dataframe.from_pandas(pd.DataFrame(X), npartitions=4)
        kind = pd.Series(dtype=np.int64)
        series = frame.map_partitions(
            lambda part: pd.Series(predict(part, path), index=part.index), meta=kind
        ).compute()
        print(f"frame: the same labels: {bool((series.to_numpy() == labels).all())}")

    search = GridSearchCV(
        VaDEClustering(10, compare=False, random_state=0),
        {"latent_dim": [5, 10]},
        cv=KFold(2, shuffle=True, random_state=0),
    )
    cluster = LocalCluster(n_workers=2, threads_per_worker=1, processes=True)
    with cluster, Client(cluster), joblib.parallel_backend("dask"):
        search.fit(X)
    found = search.best_estimator_.labels_
    print(f"search: {search.best_params_}, adjusted Rand index {adjusted_rand_score(y, found):.3f}")


if __name__ == "__main__":
    main()
