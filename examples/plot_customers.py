"""
Customers: numbers, categories and holes in one table
=====================================================

A table as shops have it: an age, what was spent, how often somebody came, the town, how they pay,
whether they are members, with holes. It goes into the model as it is: no encoder, no scaler, no
imputer. The customers are made up of three kinds, which the model does not know of.
"""

import numpy as np
import pandas as pd
from sklearn.cluster import KMeans
from sklearn.impute import SimpleImputer
from sklearn.metrics import adjusted_rand_score
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skvade import VaDEClustering
from skvade.inspection import ClusterProfileDisplay, LatentSpaceDisplay

rng = np.random.default_rng(0)
n_rows = 900
kind = rng.choice(3, n_rows, p=[0.5, 0.3, 0.2])


def mostly(values, share):
    """The value of each kind in this share of the rows, and any of them in the others."""
    drawn = np.where(rng.random(n_rows) < share, kind, rng.integers(0, 3, n_rows))
    return np.array(values)[drawn]


customers = pd.DataFrame(
    {
        "age": rng.normal(np.array([24, 41, 66])[kind], 6).round(),
        "spent": np.exp(rng.normal(np.array([2.5, 4.2, 3.4])[kind], 0.4)).round(2),
        "visits": rng.poisson(np.array([9, 3, 5])[kind]),
        "town": mostly(["harbour", "hills", "old town"], 0.6),
        "pays": pd.Categorical(mostly(["phone", "card", "cash"], 0.7)),
        "member": rng.random(n_rows) < np.array([0.2, 0.7, 0.5])[kind],
    }
)
holes = rng.random(customers.shape) < 0.1
holes[:, -2:] = False
table = customers.mask(holes)
print(table.head())

# %%
# Which columns hold categories follows from their dtypes. Counts get a family of their own, if they
# are named as such; everything else is found.

model = VaDEClustering(
    n_clusters=3,
    categorical_features="from_dtype",
    likelihood={"visits": "negative_binomial"},
    random_state=0,
).fit(table)
print(model.report())

# %%
# What comes back has the columns that came in: the middle of each cluster, and new customers.

print(model.cluster_centers_)
print(model.sample(5, random_state=0)[0])

# %%
# Who is in each cluster? The columns that tell most of it come first.

display = ClusterProfileDisplay.from_estimator(model, table)
print(display.text)

# %%
# The codes, along the directions in which clusters differ most.

LatentSpaceDisplay.from_estimator(model, table)

# %%
# The kinds are read only now. Beside it, what one would otherwise do: means in holes, a column for
# each category, k-means.

numbers = table[["age", "spent", "visits"]]
texts = table[["town", "pays", "member"]].astype(object).fillna("missing").astype(str)
encoded = np.hstack(
    [
        StandardScaler().fit_transform(SimpleImputer().fit_transform(numbers)),
        OneHotEncoder(sparse_output=False).fit_transform(texts),
    ]
)
means = KMeans(3, n_init=10, random_state=0).fit_predict(encoded)
print(f"adjusted Rand index: {adjusted_rand_score(kind, model.labels_):.2f}")
print(f"k-means of encoded columns: {adjusted_rand_score(kind, means):.2f}")

# %%
# And what stood in the holes? Texts are filled with texts, numbers with numbers.

filled = model.impute(table)
right = (filled["town"] == customers["town"])[holes[:, 3]].mean()
print(f"towns that were missing and are named rightly: {right:.0%}")
print(f"the most frequent town instead: {customers['town'].value_counts(normalize=True).max():.0%}")
