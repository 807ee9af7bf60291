"""
How many clusters, how many dimensions
======================================

:class:`~sklearn.model_selection.GridSearchCV` needs neither a scorer nor labels here:
:meth:`skvade.VaDEClustering.score` is the log-likelihood of held-out rows. That chooses the
latent size. It does not choose the number of clusters, as the second picture shows; another score
does better, and can be searched just as easily.

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
from skvade.metrics import clustering_accuracy, mutual_information

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
# Two figures of held-out rows, side by side: the log-likelihood, and how decided the assignment
# is, the mutual information of rows and clusters as a share of the most that it can be, log
# n_clusters. It falls below one where clusters are uneven or where rows hesitate between two.


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
    scoring={"log_likelihood": log_likelihood, "decided": decided},
    refit="decided",
    cv=2,
    n_jobs=2,
).fit(X)
results = pd.DataFrame(search.cv_results_).set_index("param_n_clusters")
print(results[["mean_test_log_likelihood", "mean_test_decided"]].round(3))
print("most decided:", search.best_params_)

# %%
# The pictures
# ------------

figure, (left, middle, right) = plt.subplots(1, 3, figsize=(12, 3.6), layout="constrained")
panels = {
    left: (likelihoods, "score", "latent_dim", "held-out log-likelihood, nats per row"),
    middle: (results, "log_likelihood", "n_clusters", "held-out log-likelihood, nats per row"),
    right: (results, "decided", "n_clusters", "mutual information / log n_clusters"),
}
for ax, (table, name, parameter, label) in panels.items():
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
# The likelihood has a maximum at a small latent size: these are few rows for a network. Over the
# number of clusters it falls slowly, and with it alone one would take as few as possible: a
# decoder draws a row from its code, whatever clusters there are. Rows are most decided at the
# number of digits. That is no proof, on other data it may have several peaks or none, but it asks
# for no label.
