"""
What the models generate
========================

A model that clusters and generates can be asked what it has understood. Here it draws handwritten
digits: the same style in every class, other styles of the same class, the way from one digit to
another, sums and differences of codes, and what becomes of fewer or more clusters than there are
digits. How the latent space forms is in :doc:`plot_training`.

`M2Classifier` and `ADGMClassifier` keep class and style apart. A hundred labels name their classes
here, ten of each digit; `style_weight` below 1 makes styles cheaper, so that they carry more.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from skvade import ADGMClassifier, M2Classifier, VaDEClustering
from skvade.inspection import (
    GeneratedSamplesDisplay,
    InterpolationDisplay,
    LatentTraversalDisplay,
)

X, y = load_digits(return_X_y=True)
X = X / 16
rng = np.random.RandomState(0)
labelled = np.concatenate([rng.choice(np.flatnonzero(y == c), 10, False) for c in range(10)])
some = np.full(len(y), -1)
some[labelled] = y[labelled]

m2 = M2Classifier(style_weight=0.1, random_state=0).fit(X, some)
adgm = ADGMClassifier(style_weight=0.1, random_state=0).fit(X, some)
for model in (m2, adgm):
    accuracy = np.mean(model.labels_[some < 0] == y[some < 0])
    print(f"{type(model).__name__}: {accuracy:.3f} of the rows without a label are right")

# %%
# The style of a row in every class
# ---------------------------------
# Each line begins with a row of the data; beside it is its style in all ten classes. First M2, then
# ADGM.

for model in (m2, adgm):
    display = LatentTraversalDisplay.from_styles(model, X, n_samples=6, image_shape=(8, 8))
    display.figure_.suptitle(type(model).__name__)

# %%
# Other styles of a class
# -----------------------
# The direction in which styles vary most, two standard deviations to either side.

for model in (m2, adgm):
    display = LatentTraversalDisplay.from_estimator(model, X, image_shape=(8, 8))
    display.figure_.suptitle(type(model).__name__)

# %%
# VaDE's clusters and the deviations from them
# --------------------------------------------
# In `VaDEClustering` one latent space holds both. A code is mu_c + L_c e, with the Cholesky factor
# L_c of its cluster's covariance and standard normal e, so that the same e is the same deviation in
# every cluster, seen in units of that cluster. A line below is one e, a column one cluster.

vade = VaDEClustering(n_clusters=10, random_state=0).fit(X)
factors = np.linalg.cholesky(vade.covariances_)
deviations = rng.standard_normal((6, vade.latent_dim_))
codes = vade.means_ + np.einsum("kij,ej->eki", factors, deviations)  # (6, 10, latent_dim)
rows = vade.inverse_transform(codes.reshape(60, -1)).reshape(6, 10, 8, 8)
figure, axes = plt.subplots(6, 10, figsize=(8, 5), layout="constrained")
for ax, image in zip(axes.flat, rows.reshape(60, 8, 8), strict=True):
    ax.imshow(image, cmap="gray_r", vmin=0, vmax=1)
    ax.set_axis_off()

# %%
# From one digit to another
# -------------------------
# Between two clusters the density falls, and what is decoded there is half of each.

InterpolationDisplay.from_estimator(vade, clusters=(0, 1), image_shape=(8, 8))

# %%
# Sums and differences
# --------------------
# The code of a row of one cluster, plus the difference of two clusters' means: the row moves from
# cluster b to cluster a and keeps its deviation. Each column: a row of b, the means of a and of b,
# and what is decoded from row + mean of a - mean of b.

pairs = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 6), (6, 7), (7, 8)]
figure, axes = plt.subplots(4, len(pairs), figsize=(8, 4.2), layout="constrained")
for column, (a, b) in zip(axes.T, pairs, strict=True):
    row = X[np.flatnonzero(vade.labels_ == b)[0]]
    code = vade.transform(row[None]) + vade.means_[a] - vade.means_[b]
    images = [row, vade.cluster_centers_[a], vade.cluster_centers_[b]]
    for ax, image in zip(column, [*images, vade.inverse_transform(code)[0]], strict=True):
        ax.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
        ax.set(xticks=[], yticks=[])
for ax, name in zip(axes[:, 0], ["row of b", "mean of a", "mean of b", "row + a - b"], strict=True):
    ax.set_ylabel(name)

# %%
# Fewer and more clusters than digits
# -----------------------------------
# With seven clusters, digits that look alike share one; with fourteen, some have two: the ways in
# which people write them.

for n_clusters in (7, 14):
    fewer_or_more = VaDEClustering(n_clusters=n_clusters, random_state=0).fit(X)
    display = GeneratedSamplesDisplay.from_estimator(fewer_or_more, image_shape=(8, 8))
    display.figure_.suptitle(f"{n_clusters} clusters")
plt.show()
