"""
Cells in an AnnData, beside Leiden
==================================

Single-cell data come as an `AnnData <https://anndata.readthedocs.io>`_: counts in ``adata.X`` or in
a layer, what is known of cells in ``adata.obs``, embeddings in ``adata.obsm``. skvade takes the
matrix, sparse as it is, and its results go where scanpy's tools and plots look for them.

What people do with such data is a graph of neighbours among principal components and its
communities by Leiden. Both are below, on cells of the kind of :doc:`plot_counts`, whose types are
known because they are made here. It needs anndata, igraph and leidenalg, ``pip install
".[cells]"``, best in an environment of its own: anndata 0.12 needs a pandas below 3. So this page
shows no output; it takes some twenty seconds, and both find the five types.
"""

import anndata
import igraph
import leidenalg
import matplotlib.pyplot as plt
import numpy as np
import scipy.sparse as sp
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score
from sklearn.neighbors import kneighbors_graph

from skvade import VaDEClustering
from skvade.inspection import LatentSpaceDisplay

# %%
# Cells of five types
# -------------------
# Each type has some genes that it expresses more or less than the others; depths vary by a factor
# of about three.


def make_cells(n_cells=1200, n_genes=400, dispersion=3.0, random_state=0):
    """An AnnData of counts, with the type of every cell in `obs`."""
    rng = np.random.RandomState(random_state)
    types = rng.choice(5, n_cells, p=[0.4, 0.25, 0.2, 0.1, 0.05])
    profile = rng.normal(scale=1.0, size=n_genes)
    markers = rng.normal(scale=1.0, size=(5, n_genes)) * (rng.rand(5, n_genes) < 0.15)
    logits = profile + markers[types]
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    depths = rng.lognormal(np.log(1000), 0.3, size=(n_cells, 1))
    rates = depths * shares * rng.gamma(dispersion, 1 / dispersion, size=shares.shape)
    adata = anndata.AnnData(sp.csr_matrix(rng.poisson(rates).astype(np.float32)))
    adata.obs["type"] = [f"type {t}" for t in types]
    return adata


adata = make_cells()
print(adata)

# %%
# skvade: counts as they are
# --------------------------
# ``fit`` takes ``adata.X``, or a layer. For a file that is open with ``backed="r"`` write
# ``adata.X.to_memory()`` where it is sparse. Whatever was found is kept by the cell.

model = VaDEClustering(n_clusters="auto", likelihood="negative_binomial", random_state=0).fit(
    adata.X
)
adata.obs["vade"] = [f"cluster {c}" for c in model.labels_]
adata.obs["vade_probability"] = model.predict_proba(adata.X).max(1)
adata.obs["outlier"] = model.outlier_scores(adata.X)
adata.obsm["X_vade"] = model.transform(adata.X)
print(model.report())

# %%
# Leiden: communities of a graph
# ------------------------------
# What scanpy's ``pp.normalize_total``, ``pp.log1p``, ``pp.pca``, ``pp.neighbors`` and ``tl.leiden``
# do in essence.

totals = np.asarray(adata.X.sum(1))
logs = np.log1p(adata.X.toarray() / totals * np.median(totals))
adata.obsm["X_pca"] = PCA(30, random_state=0).fit_transform(logs)
graph = kneighbors_graph(adata.obsm["X_pca"], 15)
pairs = np.column_stack(graph.maximum(graph.T).nonzero())
communities = leidenalg.find_partition(
    igraph.Graph(n=adata.n_obs, edges=pairs[pairs[:, 0] < pairs[:, 1]].tolist()),
    leidenalg.RBConfigurationVertexPartition,
    seed=0,
)
adata.obs["leiden"] = [f"community {c}" for c in communities.membership]

# %%
# Against the types, which are read for the first time: how many groups each found, and the adjusted
# Rand index.

for name in ("vade", "leiden"):
    index = adjusted_rand_score(adata.obs["type"], adata.obs[name])
    print(f"{name:<8}{adata.obs[name].nunique():>3} groups, adjusted Rand index {index:.3f}")
print(adata.obs.groupby("vade", observed=True)[["vade_probability", "outlier"]].mean().round(3))

# %%
# The two spaces
# --------------

figure, axes = plt.subplots(1, 2, figsize=(10, 4.4), layout="constrained")
LatentSpaceDisplay.from_estimator(model, adata.X, ax=axes[0])
axes[0].set_title("skvade's codes and clusters")
groups = adata.obs["leiden"].astype("category").cat.codes
axes[1].scatter(*adata.obsm["X_pca"][:, :2].T, c=groups, cmap="tab20", s=5)
axes[1].set(title="principal components and Leiden's communities", xticks=[], yticks=[])
plt.show()
