"""
Six shapes of data
==================

scikit-learn has a famous picture: clusterers as columns, toy data as rows. Here it is with
:class:`~sklearn.cluster.KMeans`, :class:`~sklearn.mixture.GaussianMixture`,
:class:`~sklearn.cluster.HDBSCAN` and :class:`skvade.VaDEClustering`, every one with a single
setting for all six data sets. The number of clusters is given to all but HDBSCAN, which finds it.

skvade is not meant for data with two features: it trains a network with some ten thousand weights
to map the plane to another plane, with a mixture there. The picture shows what that costs, and
that it brings no advantage.
"""

import time
import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.cluster import HDBSCAN, KMeans
from sklearn.datasets import make_blobs, make_circles, make_moons
from sklearn.mixture import GaussianMixture
from sklearn.preprocessing import StandardScaler

from skvade import VaDEClustering

N_ROWS = 500

# %%
# The data
# --------
# As in scikit-learn's picture: circles, moons, blobs of different widths, stretched blobs, blobs,
# and no structure at all.

blobs, blob_labels = make_blobs(N_ROWS, random_state=8)
stretched, _ = make_blobs(N_ROWS, random_state=170)
shapes = {
    "circles": (make_circles(N_ROWS, factor=0.5, noise=0.05, random_state=30)[0], 2),
    "moons": (make_moons(N_ROWS, noise=0.05, random_state=30)[0], 2),
    "varied": (make_blobs(N_ROWS, cluster_std=[1.0, 2.5, 0.5], random_state=170)[0], 3),
    "stretched": (stretched @ [[0.6, -0.6], [-0.4, 0.8]], 3),
    "blobs": (blobs, 3),
    "none": (np.random.RandomState(30).rand(N_ROWS, 2), 3),
}

# %%
# The methods
# -----------


def make_methods(n_clusters):
    return {
        "KMeans": KMeans(n_clusters, random_state=0),
        "GaussianMixture": GaussianMixture(n_clusters, random_state=0),
        "HDBSCAN": HDBSCAN(min_cluster_size=15, copy=True),
        "VaDEClustering": VaDEClustering(
            n_clusters,
            likelihood="gaussian",  # "auto" would take a unit square for pixels
            latent_dim=2,
            hidden_layer_sizes=(128, 128),
            random_state=0,
        ),
    }


colours = np.array([*plt.get_cmap("tab10").colors, (0.6, 0.6, 0.6)])  # noise, -1, is grey
names = list(make_methods(2))
figure, axes = plt.subplots(
    len(shapes), len(names), figsize=(2.2 * len(names), 2.1 * len(shapes)), layout="constrained"
)
for row, (shape, (X, n_clusters)) in zip(axes, shapes.items(), strict=True):
    X = StandardScaler().fit_transform(X)
    for ax, (name, method) in zip(row, make_methods(n_clusters).items(), strict=True):
        start = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            labels = method.fit_predict(X)
        seconds = time.perf_counter() - start
        ax.scatter(*X.T, s=6, color=colours[np.where(labels < 0, -1, labels % 10)])
        ax.set(xticks=[], yticks=[], xlim=(-2.5, 2.5), ylim=(-2.5, 2.5))
        ax.text(0.98, 0.02, f"{seconds:.2f} s", transform=ax.transAxes, ha="right", fontsize=8,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 1})  # fmt: skip
        if ax in axes[0]:
            ax.set_title(name, fontsize=11)
    row[0].set_ylabel(shape)
plt.show()

# %%
# What to read from it
# --------------------
# - **Circles and moons** are HDBSCAN's: clusters are where points are dense, whatever their
#   shape. k-means and a mixture in the plane cut them. skvade merges pieces of them along the graph
#   of neighbours, and its codes learn what comes of that and keep it: as right, and a hundred times
#   dearer.
# - **Varied and stretched blobs** are what a Gaussian mixture says that they are, and it finds
#   them. skvade finds nearly the same with some confusion at the borders, k-means cuts by distance,
#   and HDBSCAN takes the thin parts for noise (grey).
# - **Blobs** are easy for all methods.
# - **No structure**: three of the four cut a square in three as they were told. Only HDBSCAN could
#   have said that there is nothing, and it reports a few small clusters in much noise instead.
#
# On data like these use HDBSCAN or a mixture: they are better and take milliseconds. The order is
# reversed where there are many features and clusters are no ellipses in them, as with pixels:
# :ref:`sphx_glr_gallery_plot_digits.py`.
