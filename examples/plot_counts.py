"""
Counts, as of single cells
==========================

Sequencing a cell gives counts of its genes' molecules: mostly zeros, more variable than Poisson,
and deeper in some cells than in others for reasons that have nothing to do with their type. The
``"negative_binomial"`` likelihood takes counts as they are: their mean is the cell's total times
a share that is decoded from z, and their variance exceeds the mean by an amount that is learned
gene by gene. The usual way around is to divide by the total, take logarithms, and use a method
for real numbers.

Here are both, on cells that are made by the few lines below, so that the truth is known; and how to
find out whether depth made the clusters.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score

from skvade import VaDEClustering

# %%
# Cells of six types
# ------------------
# Every type doubles or halves some genes of a common profile, and within a type a continuous state
# does the same to others. Depths vary by a factor of about ten, and the commonest type has ten
# times as many cells as the rarest.


def make_cells(n_cells=1500, n_genes=300, dispersion=2.0, random_state=0):
    """Negative binomial counts of cells of six types."""
    rng = np.random.RandomState(random_state)
    shares = np.array([0.38, 0.25, 0.15, 0.11, 0.07, 0.04])
    types = rng.choice(6, n_cells, p=shares)
    profile = rng.normal(scale=1.2, size=n_genes)
    markers = rng.normal(scale=1.2, size=(6, n_genes)) * (rng.rand(6, n_genes) < 0.15)
    states = 0.3 * rng.normal(size=(n_cells, 2)) @ rng.normal(size=(2, n_genes))
    logits = profile + markers[types] + states
    mean = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    depths = rng.lognormal(np.log(400), 0.6, size=(n_cells, 1))
    rates = depths * mean * rng.gamma(dispersion, 1 / dispersion, size=mean.shape)
    return rng.poisson(rates).astype(np.float32), types


X, types = make_cells()
totals = X.sum(1)
print(f"zeros: {(X == 0).mean():.0%}, counts per cell: {totals.min():.0f} to {totals.max():.0f}")

# %%
# Three ways to cluster them
# --------------------------
# The second and the third get the logarithms, the third their principal components.

logs = np.log1p(X / totals[:, None] * np.median(totals))
settings = {"latent_dim": 5, "hidden_layer_sizes": (128, 128), "random_state": 0}

counts = VaDEClustering(6, likelihood="negative_binomial", **settings).fit(X)
gaussian = VaDEClustering(6, likelihood="gaussian", **settings).fit(logs)
components = PCA(20, random_state=0).fit_transform(logs)
kmeans = KMeans(6, n_init=10, random_state=0).fit(components)
print(counts.report())

# %%
# Did depth make the clusters?
# ----------------------------
# That can be asked without labels: what share of the variance of log depth lies between clusters?
# Types have nothing to do with depth here, so it should be near none. Then the types are read, for
# the first time.


def share_between(labels, values):
    """Variance of the groups' means, as a share of all."""
    means = np.array([values[labels == c].mean() for c in np.unique(labels)])
    return np.var(means[np.unique(labels, return_inverse=True)[1]]) / np.var(values)


results = {
    "skvade, negative binomial of counts": counts.labels_,
    "skvade, Gaussian of logarithms": gaussian.labels_,
    "k-means of logarithms": kmeans.labels_,
}
print(f"{'':<38}{'depth between clusters':>24}{'adjusted Rand index':>22}")
for name, labels in results.items():
    depth = share_between(labels, np.log(totals))
    print(f"{name:<38}{depth:>24.3f}{adjusted_rand_score(types, labels):>22.3f}")

# %%
# What the codes hold
# -------------------
# Two principal components of each space, coloured by type and by depth.

spaces = {
    "negative binomial of counts": counts.transform(X),
    "Gaussian of logarithms": gaussian.transform(logs),
    "PCA of logarithms": components,
}
figure, axes = plt.subplots(2, 3, figsize=(11, 6.6), layout="constrained")
for column, (name, codes) in zip(axes.T, spaces.items(), strict=True):
    plane = PCA(2).fit_transform(codes)
    column[0].scatter(*plane.T, c=types, cmap="tab10", vmax=10, s=5)
    shown = column[1].scatter(*plane.T, c=np.log10(totals), cmap="viridis", s=5)
    column[0].set_title(name)
    for ax in column:
        ax.set(xticks=[], yticks=[])
axes[0, 0].set_ylabel("by type")
axes[1, 0].set_ylabel("by depth")
figure.colorbar(shown, ax=axes[1], label="log10 of the counts per cell")
plt.show()

# %%
# What to read from it
# --------------------
# The offset takes the depth out of what is decoded. It does not take it out of what the encoder
# sees, and so some of it is in the codes: the first picture of the lower row goes from deep to
# shallow, and a good part of the variance of depth lies between clusters. Where depths differ as
# much as here, by a factor of forty, logarithms after dividing by the total are the better input
# for clusters; on the worm neurons of the benchmarks it is the counts. Look at your own data as
# above: it needs no labels.
