"""
Rows that do not belong
=======================

`score_samples` returns the log-likelihood of each row, which is low for rows that the model would
hardly generate. Here some digits are forged: the lines of the image are shuffled, the image is
mirrored, or two digits are overlaid.

For comparison we run :class:`~sklearn.ensemble.IsolationForest` and
:class:`~sklearn.neighbors.LocalOutlierFactor`, which are made for this task.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import LocalOutlierFactor

from skvade import VaDEClustering

# %%
# Digits, and forty of each kind of forgery
# -----------------------------------------

X, _ = load_digits(return_X_y=True)
X = X / 16
rng = np.random.RandomState(0)
images = X.reshape(-1, 8, 8)


def some():
    return images[rng.choice(len(images), 40, replace=False)]


forged = {
    "shuffled": np.array([rng.permutation(image) for image in some()]),
    "mirrored": some()[:, :, ::-1],
    "overlaid": np.maximum(some(), some()),
}
rows = np.concatenate([images, *forged.values()]).reshape(-1, 64)
kinds = np.repeat(["digit", *forged], [len(images), 40, 40, 40])

# %%
# Likelihoods
# -----------
# The forgeries are among the rows that the model is trained on, as they would be in practice.

model = VaDEClustering(10, hidden_layer_sizes=(256, 512), random_state=0).fit(rows)
scores = {
    "skvade": model.score_samples(rows),
    "IsolationForest": IsolationForest(random_state=0).fit(rows).score_samples(rows),
    "LocalOutlierFactor": LocalOutlierFactor().fit(rows).negative_outlier_factor_,
}
print("area under the ROC curve, digits against each kind:")
print(f"{'':<20}" + "".join(f"{kind:>12}" for kind in forged))
for name, values in scores.items():
    areas = [
        roc_auc_score(kinds[chosen] == "digit", values[chosen])
        for chosen in (np.isin(kinds, ["digit", kind]) for kind in forged)
    ]
    print(f"{name:<20}" + "".join(f"{area:>12.3f}" for area in areas))

# %%
# The forty least likely rows
# ---------------------------
# Framed in red are forgeries, which most of them are. What is not framed is worth a look as well:
# a zero that is thin and dark, digits that end early or run out of the image.

order = np.argsort(scores["skvade"])
figure, axes = plt.subplots(4, 10, figsize=(9, 4), layout="constrained")
for ax, row in zip(axes.flat, order, strict=False):
    ax.imshow(rows[row].reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
    ax.set(xticks=[], yticks=[])
    if kinds[row] != "digit":
        for spine in ax.spines.values():
            spine.set(color="tab:red", linewidth=2.5)
figure.suptitle("The least likely rows, in order")
print(f"of these forty {np.sum(kinds[order[:40]] != 'digit')} are forged")

figure, ax = plt.subplots(figsize=(7, 3.2), layout="constrained")
bins = np.linspace(*np.quantile(scores["skvade"], [0, 1]), 50)
for kind in ("digit", *forged):
    ax.hist(scores["skvade"][kinds == kind], bins, density=True, histtype="step", label=kind, lw=2)
ax.set(xlabel="log-likelihood, nats per row", ylabel="density")
ax.legend(loc="upper left")
plt.show()

# %%
# What to read from it
# --------------------
# Shuffled and overlaid images lie far below nearly all digits; some mirrored ones do not, because
# a mirrored zero is a zero. LocalOutlierFactor, which compares a row with its neighbours, is
# better at two of the three kinds here and takes a second. It is the better choice if anomalies
# are all that you want. The likelihoods come with the clusters, for new rows too, and are
# densities: they say how unlikely.
