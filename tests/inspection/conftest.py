import warnings

import pytest
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning

from tests.conftest import FAMILY

try:
    import matplotlib
except ImportError:
    collect_ignore_glob = ["test_*.py"]  # an extra of its own, which the oldest versions go without
else:
    matplotlib.use("Agg")


@pytest.fixture(autouse=True)
def plt():
    import matplotlib.pyplot as plt

    yield plt
    plt.close("all")


def small(cls, **parameters):
    """An estimator for iris that trains in a moment."""
    given = {"hidden_layer_sizes": (16,), "latent_dim": 3, "max_iter": 3, "pretrain_iter": 3}
    given["init"] = "k-means"
    if cls.__name__.endswith("Clustering"):
        given["n_clusters"] = 3
    return cls(**{**given, "precision": "float32", "random_state": 0, **parameters})


def fit(cls, X, y=None, **parameters):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return small(cls, **parameters).fit(X, y)


@pytest.fixture(scope="session")
def iris():
    """Rows, a DataFrame of them, and names of their species."""
    frame = load_iris(as_frame=True)
    return frame.data.to_numpy(), frame.data, frame.target_names[frame.target]


@pytest.fixture(scope="session")
def models(iris):
    X, _, y = iris
    return {cls.__name__: fit(cls, X, y) for cls in FAMILY}


def tiles(image, height, width, gap):
    """The images of a mosaic, (n_rows, n_columns, height, width), and its gaps."""
    pixels = image.get_array()
    n_rows = (pixels.shape[0] + gap[0]) // (height + gap[0])
    n_columns = (pixels.shape[1] + gap[1]) // (width + gap[1])
    return [
        [
            pixels[
                r * (height + gap[0]) : r * (height + gap[0]) + height,
                c * (width + gap[1]) : c * (width + gap[1]) + width,
            ]
            for c in range(n_columns)
        ]
        for r in range(n_rows)
    ]


def tick_names(axis):
    return [text.get_text() for text in axis.get_ticklabels()]
