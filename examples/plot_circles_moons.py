"""
Circles and moons
=================

Two rings and two crescents: toy data on which a mixture of Gaussians fails. This page shows what
skvade makes of them on its own, what another clusterer's start and what labels do for it, and the
result with more clusters than shapes.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.cluster import HDBSCAN
from sklearn.datasets import make_circles, make_moons
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture

from skvade import VaDEClassifier, VaDEClustering

warnings.simplefilter("ignore")  # restarts that disagree; see the first column
data = {
    "circles": make_circles(1000, factor=0.5, noise=0.05, random_state=0),
    "moons": make_moons(1000, noise=0.05, random_state=0),
}
settings = {
    "likelihood": "gaussian",
    "latent_dim": 2,
    "hidden_layer_sizes": (128, 128),
    "random_state": 0,
}

# %%
# Clusters
# --------
# On its own; started at the labels of another clusterer, here HDBSCAN, which finds both shapes;
# and with five labels of each class. Scores read all labels, afterwards.

figure, axes = plt.subplots(2, 3, figsize=(9, 6), layout="constrained")
for row, (name, (X, y)) in zip(axes, data.items(), strict=True):
    start = HDBSCAN(min_cluster_size=20, copy=True).fit_predict(X)
    start[start < 0] = 0  # a row or two that HDBSCAN takes for noise
    few = np.full(len(y), -1)
    for label in (0, 1):
        few[np.flatnonzero(y == label)[:5]] = label
    fits = {
        "on its own": VaDEClustering(2, **settings).fit(X),
        "started at HDBSCAN's labels": VaDEClustering(2, init=start, **settings).fit(X),
        "with five labels of each class": VaDEClassifier(**settings).fit(X, few),
    }
    for ax, (title, model) in zip(row, fits.items(), strict=True):
        score = adjusted_rand_score(y, model.labels_)
        ax.scatter(*X.T, c=model.labels_, cmap="coolwarm", s=4)
        ax.set(title=f"{title}\nadjusted Rand index {score:.2f}", xticks=[], yticks=[])
    ax.scatter(*X[few >= 0].T, c=few[few >= 0], cmap="coolwarm", s=60, edgecolors="black")
    row[0].set_ylabel(name)

# %%
# On its own skvade finds both: pieces of them are merged along the graph of neighbours, and as
# what comes of it cuts next to no neighbours apart, codes learn it before the mixture is trained,
# and keep it. HDBSCAN's shapes are learned likewise, and what five labels of each class say, which
# travel along the same graph. Shapes that touch are beyond all three. If you want no probabilities
# and no new rows, HDBSCAN finds shapes like these in a hundredth of the time.

# %%
# A density, and new rows
# -----------------------
# With more clusters than shapes every cluster covers a piece of arc. `score_samples` is then a
# density with holes in the right places, and `sample` draws new rows from it.

figure, axes = plt.subplots(2, 3, figsize=(9, 6), layout="constrained")
for row, (name, (X, _)) in zip(axes, data.items(), strict=True):
    model = VaDEClustering(16, **settings).fit(X)
    (left, bottom), (right, top) = X.min(0) - 0.3, X.max(0) + 0.3
    grid = np.stack(np.meshgrid(np.linspace(left, right, 90), np.linspace(bottom, top, 90)), -1)
    heights = model.score_samples(grid.reshape(-1, 2)).reshape(grid.shape[:2])
    new, clusters = model.sample(1000, random_state=0)
    plain = GaussianMixture(16, random_state=0).fit(X)
    print(f"{name}: mean log-likelihood {model.score(X):.2f}, GaussianMixture {plain.score(X):.2f}")
    row[0].scatter(*X.T, c=model.labels_, cmap="tab20", s=4)
    row[1].contourf(*np.moveaxis(grid, -1, 0), np.maximum(heights, -6), levels=20, cmap="Blues")
    row[2].scatter(*new.T, c=clusters, cmap="tab20", s=4)
    for ax in row:
        ax.set(xticks=[], yticks=[], xlim=(left, right), ylim=(bottom, top))
    row[0].set_ylabel(name)
for ax, title in zip(axes[0], ("16 clusters", "log-likelihood", "1,000 new rows"), strict=True):
    ax.set_title(title)
plt.show()

# %%
# Rings and moons are there, drawn broader than they are, and new rows spread beside them. With
# sixteen clusters as well, :class:`~sklearn.mixture.GaussianMixture` in the plane itself has the
# higher likelihood, and takes a tenth of a second: with two features there is no map to learn.
