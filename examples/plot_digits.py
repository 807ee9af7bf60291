"""
Digits, clustered and generated
===============================

The handwritten digits that ship with scikit-learn, clustered without labels by k-means, by a
Gaussian mixture of principal components, and by :class:`skvade.VaDEClustering`. The labels are
read afterwards, to score what was found. Then three pictures of what the model has learned: new
digits from each cluster, its latent space, and the training curves.

One seed is fitted here. ``make demo`` fits three, prints medians and worst, and keeps the
pictures::

    python examples/plot_digits.py --seeds 3 --output build/demo
"""

import argparse
import time
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import make_pipeline

from skvade import VaDEClustering
from skvade.inspection import (
    GeneratedSamplesDisplay,
    LatentSpaceDisplay,
    TrainingCurvesDisplay,
)
from skvade.metrics import clustering_accuracy

METHODS = {
    "KMeans": lambda seed: KMeans(10, n_init=10, random_state=seed),
    "PCA + GaussianMixture": lambda seed: make_pipeline(
        PCA(20, random_state=seed), GaussianMixture(10, n_init=5, random_state=seed)
    ),
    "VaDEClustering": lambda seed: VaDEClustering(n_clusters=10, random_state=seed),
}


def compare(X, y, n_seeds):
    """Fit every method for every seed; return the scores and the fits of VaDEClustering."""
    records, models = [], []
    for name, make in METHODS.items():
        for seed in range(n_seeds):
            start = time.perf_counter()
            estimator = make(seed)
            labels = estimator.fit_predict(X)
            seconds = time.perf_counter() - start
            records.append(
                {
                    "method": name,
                    "ACC": clustering_accuracy(y, labels),
                    "NMI": normalized_mutual_info_score(y, labels),
                    "ARI": adjusted_rand_score(y, labels),
                    "seconds": seconds,
                }
            )
            if name == "VaDEClustering":
                models.append(estimator)
    return pd.DataFrame(records), models


def print_table(records, n_seeds):
    print(f"digits, 1,797 x 64, 10 clusters; median (worst) of {n_seeds} seeds\n")
    print(f"{'method':<24}{'ACC':>16}{'NMI':>16}{'ARI':>16}{'seconds':>10}")
    for name, group in records.groupby("method", sort=False):
        cells = [f"{group[m].median():.3f} ({group[m].min():.3f})" for m in ("ACC", "NMI", "ARI")]
        print(
            f"{name:<24}" + "".join(f"{c:>16}" for c in cells) + f"{group.seconds.median():>10.1f}"
        )


def main():
    parser = argparse.ArgumentParser(description="Cluster the digits, print scores, make pictures.")
    parser.add_argument("--seeds", type=int, default=1, help="how many, from 0")
    parser.add_argument("--output", type=Path, help="folder for the pictures; shown if not given")
    options = parser.parse_args()
    X, y = load_digits(return_X_y=True)
    X = X / 16

    records, models = compare(X, y, options.seeds)
    print_table(records, options.seeds)

    # The model to look at is chosen without labels, as n_init would.
    model = max(models, key=lambda model: model.mutual_information_)
    displays = {
        "generated.png": GeneratedSamplesDisplay.from_estimator(model, image_shape=(8, 8)),
        "latent_space.png": LatentSpaceDisplay.from_estimator(model, X),
        "training.png": TrainingCurvesDisplay.from_estimator(model),
    }
    if options.output is None:
        plt.show()
        return
    options.output.mkdir(parents=True, exist_ok=True)
    print()
    for name, display in displays.items():
        display.figure_.savefig(options.output / name, dpi=110)
        print(f"wrote {options.output / name}")


if __name__ == "__main__":
    main()
