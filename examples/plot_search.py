"""
How many clusters, how many dimensions
======================================

:class:`~sklearn.model_selection.GridSearchCV` needs neither a scorer nor labels here:
:meth:`skvade.VaDEClustering.score` is the log-likelihood of held-out rows. That chooses the
latent size. It does not choose the number of clusters, as the second picture shows; two other
scores do better, and can be searched just as easily.

The data are the digits from 0 to 5, and the networks are small, since a search fits dozens of them.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV

from skvade import VaDEClustering
from skvade.metrics import clustering_accuracy, mutual_information, stability_score

warnings.simplefilter("ignore", ConvergenceWarning)  # some of the numbers must be wrong ones
X, y = load_digits(n_class=6, return_X_y=True)
X = X / 16
small = VaDEClustering(6, hidden_layer_sizes=(64, 128), random_state=0)

# %%
# The latent size
# ---------------
# Too few dimensions cannot draw a digit; with too many, a small network fits what is particular to
# the rows that it has seen.

sizes = [1, 2, 4, 8]
search = GridSearchCV(small, {"latent_dim": sizes}, cv=2, n_jobs=2).fit(X)
likelihoods = pd.DataFrame(search.cv_results_).set_index("param_latent_dim")
print(likelihoods[["mean_test_score", "std_test_score"]].round(2))
print("chosen:", search.best_params_)

# %%
# The number of clusters
# ----------------------
# Three figures of held-out rows, side by side: the log-likelihood; how decided the assignment is,
# the mutual information of rows and clusters as a share of the most that it can be, log n_clusters,
# which falls below one where clusters are uneven or where rows, or their neighbours, are of two
# minds; and how stable it is, the agreement of what the fit predicts for these rows with clusters
# that are found in them anew, :func:`skvade.metrics.stability_score`, for which every fold is
# fitted once more.


def decided(estimator, X, y=None):
    """Mutual information of rows and clusters, as a share of log n_clusters."""
    return mutual_information(estimator.predict_proba(X)) / np.log(estimator.n_clusters)


def log_likelihood(estimator, X, y=None):
    """What `score` returns."""
    return estimator.score(X)


numbers = [2, 3, 4, 5, 6, 7, 8, 10]
search = GridSearchCV(
    search.best_estimator_,
    {"n_clusters": numbers},
    scoring={"log_likelihood": log_likelihood, "decided": decided, "stable": stability_score},
    refit="decided",
    cv=2,
    n_jobs=2,
).fit(X)
results = pd.DataFrame(search.cv_results_).set_index("param_n_clusters")
names = ["mean_test_log_likelihood", "mean_test_decided", "mean_test_stable"]
print(results[names].round(3))
print("most decided:", search.best_params_)

# %%
# The pictures
# ------------

figure, axes = plt.subplots(1, 4, figsize=(14, 3.4), layout="constrained")
panels = [
    (likelihoods, "score", "latent_dim", "held-out log-likelihood, nats per row"),
    (results, "log_likelihood", "n_clusters", "held-out log-likelihood, nats per row"),
    (results, "decided", "n_clusters", "mutual information / log n_clusters"),
    (results, "stable", "n_clusters", "stability: adjusted Rand index"),
]
for ax, (table, name, parameter, label) in zip(axes, panels, strict=True):
    ax.errorbar(
        table.index, table[f"mean_test_{name}"], table[f"std_test_{name}"], marker="o", capsize=3
    )
    ax.set(xlabel=parameter, ylabel=label)
plt.show()

# %%
# The labels, read for the first time: how right are the clusters that were chosen?

print(f"accuracy: {clustering_accuracy(y, search.predict(X)):.3f}")

# %%
# What to read from it
# --------------------
# The likelihood has a maximum at a small latent size: these are few rows for a network, and the
# variance of the noise, learned from them, is too small for others. On small tables it takes fewer
# dimensions than is good for clusters; "auto", the default, does better there. Over the number of
# clusters it falls slowly, and with it alone one would take as few as possible: a decoder draws a
# row from its code, whatever clusters there are. Rows are most decided, and clusters by far most
# stable, at the number of digits. That is no proof, on other data there may be several peaks or
# none, but it asks for no label.
