"""
Topics of texts, from sparse tf-idf
===================================

scikit-learn's own collection of texts, twenty newsgroups, must be downloaded. Another lies in
every installation: the manual pages of scipy, which are the docstrings of its functions and
classes. Each is a document; the package that it comes from (signals, statistics, linear algebra
...) is its topic, which is read at the end only.

tf-idf gives a sparse matrix with thousands of columns, which is passed to the clusterer as it is:
rows are made dense one batch at a time. The texts depend on the version of scipy, so the figures
vary a little with it.
"""

import importlib
import inspect
import re

import matplotlib.pyplot as plt
import numpy as np
from sklearn.cluster import KMeans
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import normalized_mutual_info_score
from sklearn.metrics.cluster import contingency_matrix

from skvade import VaDEClustering
from skvade.metrics import clustering_accuracy

# %%
# The corpus
# ----------
# Prose only: examples, references and names of the packages are cut out, and very short pages left
# out.

PACKAGES = ("fft", "interpolate", "linalg", "ndimage", "optimize", "signal", "spatial.distance",
            "special", "stats")  # fmt: skip


def manual_pages(package):
    """The docstrings of a package's public functions and classes."""
    module = importlib.import_module(f"scipy.{package}")
    for name in module.__all__:
        thing = getattr(module, name)
        if callable(thing) and not (inspect.isclass(thing) and issubclass(thing, Exception)):
            text = re.split(r"\n *(?:References|Examples)\n *-+\n", inspect.getdoc(thing) or "")[0]
            text = re.sub(r"scipy[\w.]*", " ", text)
            if len(text) > 300:
                yield text


texts, topics = [], []
for package in PACKAGES:
    pages = sorted(set(manual_pages(package)))
    texts += pages
    topics += [package] * len(pages)
topics = np.array(topics)

words = TfidfVectorizer(
    stop_words="english", token_pattern=r"[a-z]{3,}", min_df=5, max_df=0.3, sublinear_tf=True
)
X = words.fit_transform(texts).astype(np.float32)
print(f"{X.shape[0]} texts, {X.shape[1]} words, {X.nnz / np.prod(X.shape):.1%} of them non-zero")
print({package: int((topics == package).sum()) for package in PACKAGES})

# %%
# Clusters
# --------
# tf-idf lies between 0 and 1, for which the Bernoulli likelihood is taken: it minds most whether a
# text has a word at all.

model = VaDEClustering(len(PACKAGES), random_state=0).fit(X)
print(model.report())

# %%
# What each cluster is about
# --------------------------
# Decoded cluster centres are tf-idf vectors again. Their words that stand out most against the
# other clusters name the topic.

vocabulary = words.get_feature_names_out()
centers = model.cluster_centers_
n_used = int((model.cluster_sizes_ > 0).sum())
for cluster in range(n_used):
    apart = centers[cluster] - np.delete(centers[:n_used], cluster, axis=0).mean(0)
    best = ", ".join(vocabulary[np.argsort(-apart)[:7]])
    print(f"cluster {cluster} ({model.cluster_sizes_[cluster]:>3} texts): {best}")

# %%
# Against the packages
# --------------------
# The true topics, read for the first time.

kmeans = KMeans(len(PACKAGES), n_init=10, random_state=0)
of_words = kmeans.fit_predict(X)
of_components = kmeans.fit_predict(TruncatedSVD(50, random_state=0).fit_transform(X))
print(f"{'':<34}{'NMI':>6}{'accuracy':>10}")
for name, labels in {
    "skvade": model.labels_,
    "k-means of tf-idf": of_words,
    "k-means of 50 components": of_components,
}.items():
    nmi = normalized_mutual_info_score(topics, labels)
    print(f"{name:<34}{nmi:>6.2f}{clustering_accuracy(topics, labels):>10.2f}")

table = contingency_matrix(topics, model.labels_)
figure, ax = plt.subplots(figsize=(7, 5), layout="constrained")
ax.imshow(table, cmap="Blues")
for (row, column), count in np.ndenumerate(table):
    if count:
        ax.text(column, row, count, ha="center", va="center",
                color="white" if count > table.max() / 2 else "black")  # fmt: skip
ax.set_xticks(range(table.shape[1]), [f"cluster {c}" for c in range(table.shape[1])], rotation=45)
ax.set_yticks(range(len(PACKAGES)), sorted(PACKAGES))
ax.set_title("Manual pages by package and cluster")
plt.show()

# %%
# What to read from it
# --------------------
# The clusters are about something, and their words say what: statistical tests and probability
# distributions, which are one package; digital filters; matrices; the special functions by kind.
# They are not the packages: the largest package is cut in pieces, and the smallest two have no
# cluster. By mutual information they are nearer to them than those of k-means, by accuracy not; and
# the report says that k-means of components keeps more neighbours together. What the model has
# beyond it are probabilities, codes in ten dimensions, and a likelihood for every text.
