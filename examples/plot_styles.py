"""
The same style in another cluster
=================================

`M2Clustering` explains a row by a cluster c and by a style z, which is drawn from the same standard
normal distribution whatever the cluster. So z can only say what all clusters have in common: for
digits how thick, how slanted, how wide. `transform` gives the style of a row, and
`inverse_transform` draws it in any cluster.

Each line below begins with a digit of the data; beside it is its style in every cluster that was
found, without any label.

Small grey images are explained quite well by their cluster alone. With the bound itself a style is
hardly worth its cost, and all drawings of a cluster look much the same. `style_weight` below 1
makes styles cheaper, so that they carry more information.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits

from skvade import M2Clustering
from skvade.inspection import LatentTraversalDisplay

X, _ = load_digits(return_X_y=True)
X = X / 16

model = M2Clustering(n_clusters=10, style_weight=0.1, random_state=0).fit(X)
print(model.report())

# %%
# One row of every cluster, and its style in all of them.

LatentTraversalDisplay.from_styles(model, X, n_samples=10, image_shape=(8, 8))

# %%
# Two styles that differ are the two ends of one direction of z: the direction in which styles vary
# most, from two standard deviations on one side to two on the other.

LatentTraversalDisplay.from_estimator(model, X, image_shape=(8, 8))
plt.show()
