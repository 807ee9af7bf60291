"""
Digits, clustered and generated
===============================

The handwritten digits that ship with scikit-learn, clustered without labels by k-means, by a
Gaussian mixture of principal components, and by :class:`skvade.VaDEClustering`. The labels are
read afterwards, to score what was found. Then three pictures of what the model has learned: new
digits from each cluster, its latent space, and the course of its training.

    python examples/plot_digits.py --output build/demo
"""

import argparse
import time
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import make_pipeline

from skvade import VaDEClustering
from skvade.metrics import clustering_accuracy

SEEDS = (0, 1, 2)

METHODS = {
    "KMeans": lambda seed: KMeans(10, n_init=10, random_state=seed),
    "PCA + GaussianMixture": lambda seed: make_pipeline(
        PCA(20, random_state=seed), GaussianMixture(10, n_init=5, random_state=seed)
    ),
    "VaDEClustering": lambda seed: VaDEClustering(n_clusters=10, random_state=seed),
}


def compare(X, y):
    """Fit every method for every seed; return the scores and the fits of VaDEClustering."""
    records, models = [], []
    for name, make in METHODS.items():
        for seed in SEEDS:
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


def print_table(records):
    print(f"digits, 1,797 x 64, 10 clusters; median (worst) of {len(SEEDS)} seeds\n")
    print(f"{'method':<24}{'ACC':>16}{'NMI':>16}{'ARI':>16}{'seconds':>10}")
    for name, group in records.groupby("method", sort=False):
        cells = [f"{group[m].median():.3f} ({group[m].min():.3f})" for m in ("ACC", "NMI", "ARI")]
        print(
            f"{name:<24}" + "".join(f"{c:>16}" for c in cells) + f"{group.seconds.median():>10.1f}"
        )


def plot_generated(model, per_cluster=12):
    """New digits, a row for each cluster, largest first."""
    figure, axes = plt.subplots(10, per_cluster + 1, figsize=(per_cluster * 0.62, 6.2))
    for cluster, row in enumerate(axes):
        rows, _ = model.sample(per_cluster, cluster=cluster, random_state=cluster)
        images = np.vstack([model.cluster_centers_[cluster], rows])
        for ax, image in zip(row, images, strict=True):
            ax.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
            ax.set(xticks=[], yticks=[])
        for spine in row[0].spines.values():
            spine.set(color="tab:red", linewidth=2)
        row[0].set_ylabel(cluster, rotation=0, ha="right", va="center")
    figure.suptitle("Digits generated from each cluster (red: the decoded mean)", fontsize=11)
    figure.subplots_adjust(wspace=0.08, hspace=0.08, left=0.05, right=0.99, bottom=0.01, top=0.94)
    return figure


def plot_latent_space(model, X):
    """The ten-dimensional codes on their first two principal components."""
    pca = PCA(2).fit(model.transform(X))
    codes, means = pca.transform(model.transform(X)), pca.transform(model.means_)
    figure, ax = plt.subplots(figsize=(6.4, 5.4), layout="constrained")
    ax.scatter(*codes.T, c=model.labels_, cmap="tab10", vmin=-0.5, vmax=9.5, s=8, alpha=0.7)
    for cluster, mean in enumerate(means):
        ax.text(*mean, cluster, ha="center", va="center", fontsize=12, fontweight="bold",
                bbox={"boxstyle": "circle", "facecolor": "white", "alpha": 0.8})  # fmt: skip
    ax.set(title="Latent space, coloured by cluster", xlabel="first component", ylabel="second")
    return figure


def plot_training(model):
    """Every term of the loss, phase by phase."""
    history = pd.DataFrame(model.history_)
    phases = list(history.phase.unique())
    figure, axes = plt.subplots(
        1, len(phases), figsize=(9.6, 3.4), layout="constrained", sharey=True
    )
    for ax, phase in zip(axes, phases, strict=True):
        part = history[history.phase == phase]
        for term, style in (("loss", "k-"), ("reconstruction", "C0--"), ("kl", "C1:")):
            if part[term].notna().any():
                ax.plot(part.steps, part[term], style, label=term)
        ax.set(title=phase, xlabel="gradient steps")
        ax.legend()
    axes[0].set_ylabel("nats per row")
    figure.suptitle("Training curves by phase")
    return figure


def main():
    parser = argparse.ArgumentParser(description="Cluster the digits, print scores, make pictures.")
    parser.add_argument("--output", type=Path, default=Path("build/demo"))
    output = parser.parse_args().output
    X, y = load_digits(return_X_y=True)
    X = X / 16

    records, models = compare(X, y)
    print_table(records)

    # The model to look at is chosen without labels, as n_init would.
    model = max(models, key=lambda model: model.mutual_information_)
    output.mkdir(parents=True, exist_ok=True)
    figures = {
        "generated.png": plot_generated(model),
        "latent_space.png": plot_latent_space(model, X),
        "training.png": plot_training(model),
    }
    print()
    for name, figure in figures.items():
        figure.savefig(output / name, dpi=110)
        print(f"wrote {output / name}")


if __name__ == "__main__":
    main()
