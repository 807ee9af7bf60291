"""
A table with holes
==================

Real tables have holes. skvade's estimators take missing values as they are: no imputer before, no
rows dropped. Here a fifth of all values of the wines are taken away at random, so that only one
wine in twenty is complete, and three growers are to be found again.

Then two questions that follow every clustering: who is in each cluster, in the columns of the
table; and what might have stood in the holes.
"""

import numpy as np
from sklearn.datasets import load_wine
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.metrics import adjusted_rand_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skvade import VaDEClustering
from skvade.inspection import ClusterProfileDisplay

X, y = load_wine(return_X_y=True, as_frame=True)
holes = np.random.RandomState(0).random_sample(X.shape) < 0.2
table = X.mask(holes)
print(f"{(~holes).all(axis=1).mean():.0%} of rows are complete")

# %%
# Scalers of scikit-learn leave holes where they are, and the model takes them. The labels of the
# growers are read only now, to see what was found.

model = make_pipeline(StandardScaler(), VaDEClustering(n_clusters=3, random_state=0)).fit(table)
complete = make_pipeline(StandardScaler(), VaDEClustering(n_clusters=3, random_state=0)).fit(X)
print(f"adjusted Rand index, a fifth missing: {adjusted_rand_score(y, model.predict(table)):.2f}")
print(f"nothing missing: {adjusted_rand_score(y, complete.predict(X)):.2f}")

# %%
# Who is in each cluster? Columns come in the order of what they tell of it.

display = ClusterProfileDisplay.from_estimator(model, table)
print(display.text)

# %%
# What stood in the holes? `impute` fills them with what the model expects at each row's place among
# the codes. The error is that of the standardised values, beside two imputers of scikit-learn's.

scaler, vade = model[0], model[-1]
scaled, truth = scaler.transform(table), scaler.transform(X)
fillings = {
    "the mean": SimpleImputer().fit_transform(scaled),
    "five nearest rows": KNNImputer().fit_transform(scaled),
    "the model": vade.impute(scaled),
}
for name, filled in fillings.items():
    error = np.sqrt(np.mean(np.square(np.asarray(filled) - np.asarray(truth))[holes]))
    print(f"root mean squared error of {name}: {error:.2f}")
