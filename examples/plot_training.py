"""
The latent space through training
=================================

How do clusters form? skvade's estimators support scikit-learn's callbacks (from version 1.9 on), so
you can watch a fit: the callback below keeps what `transform` and `predict` would return if the fit
ended at that moment. The latent space has two dimensions here, so that nothing has to be projected.

What you can see: the autoencoder spreads the digits like a fan, without knowing of clusters. The
neighbour phase draws neighbours together and leaves gaps, and this is where clusters are made. The
mixture starts there, first with held clusters; after that networks and mixture are trained
together, which changes little.

Two dimensions have a price: there is less room, and the largest cluster below is made of
several lumps, which are digits of their own. Ten dimensions, the default, find digits better.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits

from skvade import VaDEClustering
from skvade.inspection import LatentSpaceDisplay

X, y = load_digits(return_X_y=True)
X = (X / 16).astype("float32")  # predicts faster than float64, which counts in every epoch


class Watch:
    """Keeps the fitted estimators of the first and the last epoch of every phase."""

    def setup(self, estimator, context):
        self.seen = {}

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context, *, fitted_estimator):
        if context.task_name == "epoch":
            phase, epoch = context.parent.task_name, fitted_estimator.history_[-1]["epoch"]
            first, _ = self.seen.get(phase, [(epoch, fitted_estimator), None])
            self.seen[phase] = [first, (epoch, fitted_estimator)]


watch = Watch()
model = VaDEClustering(n_clusters=10, latent_dim=2, random_state=0).set_callbacks(watch).fit(X)

# %%
# The first and the last epoch of every phase, coloured by the clusters of the finished fit: no
# label is read, and every row keeps its colour.

figure, axes = plt.subplots(2, len(watch.seen), figsize=(12, 6.4), layout="constrained")
for column, (phase, states) in zip(axes.T, watch.seen.items(), strict=True):
    for ax, (epoch, state) in zip(column, states, strict=True):
        codes = state.transform(X)
        ax.scatter(*codes.T, c=model.labels_, cmap="tab10", s=4, vmin=0, vmax=9)
        ax.set(title=f"{phase}, epoch {epoch}", xticks=[], yticks=[])

# %%
# The end: the same space, with the mixture's components as ellipses of two standard deviations.

LatentSpaceDisplay.from_estimator(model, X)
plt.show()
