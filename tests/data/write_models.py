"""The files that test_load.py loads: run once for every format, and keep what it wrote.

python -m tests.data.write_models

Estimators that came after the format are added by their names:

python -m tests.data.write_models ADGMClassifier DEPICTClustering
"""

import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.base import is_classifier
from sklearn.datasets import load_iris

from skvade.estimators.load import ESTIMATORS
from skvade.persistence.container import FORMAT

FOLDER = Path(__file__).parent / f"format_{FORMAT}"


def write(added):
    X, y = load_iris(return_X_y=True)
    names = np.array(["setosa", "versicolor", "virginica"])[y]
    FOLDER.mkdir(exist_ok=True)
    expected = dict(np.load(FOLDER / "expected.npz")) if added else {"X": X[::15]}
    for name in added or ESTIMATORS:
        cls = ESTIMATORS[name]
        model = cls(hidden_layer_sizes=(8, 5), latent_dim=2, max_iter=20, random_state=0)
        model.set_params(pretrain_iter=20, **({} if is_classifier(model) else {"n_clusters": 3}))
        if name in ("M2Clustering", "VaDEClassifier"):
            model.set_params(likelihood="negative_binomial")
        rows = pd.DataFrame(X, columns=list("abcd"))
        model.fit(rows, names if is_classifier(model) else None)
        model.save(FOLDER / f"{name}.safetensors")
        few = rows.iloc[::15]
        for method in ("predict", "predict_proba", "transform", "score_samples"):
            if hasattr(model, method):
                expected[f"{name}.{method}"] = getattr(model, method)(few)
    np.savez_compressed(FOLDER / "expected.npz", **expected)


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write(sys.argv[1:])
