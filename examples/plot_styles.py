"""
The same style in another cluster
=================================

`M2Clustering` explains a row by a cluster c and by a style z, which is drawn from the same standard
normal distribution whatever the cluster. So z can only say what all clusters have in common: for
digits how thick, how slanted, how wide. `transform` gives the style of a row, and
`inverse_transform` draws it in any cluster.

Each line below begins with a digit of the data; beside it is its style in every cluster that was
found, without any label.

Small grey images are explained well enough by their cluster alone: by the bound itself a style is
hardly worth its nats, and all drawings of a cluster are much the same. `style_weight` below 1 makes
styles cheaper, so that they say more.
"""

import numpy as np
from sklearn.datasets import load_digits

from skvade import M2Clustering

X, _ = load_digits(return_X_y=True)
X = X / 16

model = M2Clustering(n_clusters=10, style_weight=0.1, random_state=0).fit(X)
print(model.report())

# %%
# One row of every cluster, and its style in all of them.

chosen = np.array([np.flatnonzero(model.labels_ == c)[0] for c in range(10)])
styles = model.transform(X[chosen])
drawn = np.stack([model.inverse_transform(styles, cluster=c) for c in range(10)], axis=1)

# %%
# Two styles that differ are the two ends of one direction of z: the direction in which styles vary
# most, from two standard deviations on one side to two on the other.

everyone = model.transform(X)
centred = everyone - everyone.mean(0)
direction = np.linalg.svd(centred, full_matrices=False)[2][0]
steps = np.linspace(-2, 2, 9)[:, None] * (centred @ direction).std() * direction
walk = np.stack([model.inverse_transform(steps, cluster=c) for c in range(10)])

if __name__ == "__main__":
    import matplotlib.pyplot as plt

    def show(images, title, file):
        """A grid of images, one line for each of the first axis."""
        n_rows, n_columns = images.shape[:2]
        figure, axes = plt.subplots(n_rows, n_columns, figsize=(n_columns * 0.7, n_rows * 0.7))
        for image, ax in zip(images.reshape(-1, 8, 8), axes.flat, strict=True):
            ax.imshow(image, cmap="gray_r", vmin=0, vmax=1)
            ax.set_axis_off()
        figure.suptitle(title)
        figure.savefig(file, dpi=100)

    beside = np.concatenate([X[chosen][:, None], drawn], axis=1)
    show(beside, "A digit, and its style in every cluster", "styles.png")
    show(walk, "One direction of style, in every cluster", "walk.png")
