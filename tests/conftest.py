import os
import warnings
from functools import partial

# scikit-learn skips one of its checks without it; scipy reads it when it is first imported.
os.environ.setdefault("SCIPY_ARRAY_API", "1")

import numpy as np
import pytest
import torch
from sklearn.base import is_classifier
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning

import skvade
from skvade import VaDEClustering
from skvade.nn.adgm import ADGM
from skvade.nn.covariances import COVARIANCES
from skvade.nn.gmvae import GMVAE
from skvade.nn.likelihoods import LIKELIHOODS
from skvade.nn.mixtures import GaussianMixturePrior
from skvade.nn.networks import make_decoder, make_encoder
from skvade.nn.summary import DataSummary
from skvade.nn.vade import MixtureVAE

FAMILY = [cls for cls in map(vars(skvade).get, skvade.__all__) if isinstance(cls, type)]


def small(cls, n_clusters=3, **parameters):
    """An estimator with small networks and a small budget; classifiers find their classes in y.

    The default start takes two thirds of such a fit; ask for it where it matters.
    """
    given = {"hidden_layer_sizes": (16,), "latent_dim": 3, "pretrain_iter": 4, "max_iter": 4}
    given["init"] = "k-means"
    given |= {} if is_classifier(cls()) else {"n_clusters": n_clusters, "compare": False}
    return cls(**{**given, "precision": "float32", "random_state": 0, **parameters})


def posteriors(model, X):
    """The model's q(c|x), of which `predict_proba` spreads a share."""
    return model._predictor.memberships(X)


@pytest.fixture
def quiet():
    """No warnings that small budgets end before convergence."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


@pytest.fixture(scope="session")
def digits():
    X, y = load_digits(return_X_y=True)
    return X / 16, y


@pytest.fixture(scope="session")
def quick():
    """A clusterer of digits that trains in about two seconds."""
    return VaDEClustering(
        10,
        hidden_layer_sizes=(64, 128),
        batch_size=64,
        pretrain_iter=30,
        max_iter=10,
        precision="float32",
        random_state=0,
        compare=False,
    )


@pytest.fixture(scope="session")
def fitted(quick, digits):
    from sklearn.base import clone

    return clone(quick).fit(digits[0])


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def summary(n_features=4, **kwargs):
    defaults = {
        "n_samples": 100,
        "minimum": 0.0,
        "maximum": 1.0,
        "binary": True,
        "median_total": 10.0,
    }
    return DataSummary(n_features=n_features, **{**defaults, **kwargs})


def random_mixture(kind, n_clusters=3, latent_dim=2, seed=0):
    """A mixture with random float64 parameters, and nothing special about them."""
    rng = np.random.default_rng(seed)
    mixture = GaussianMixturePrior(COVARIANCES[kind](n_clusters, latent_dim)).double()
    roots = rng.normal(size=(n_clusters, latent_dim, latent_dim))
    matrices = roots @ roots.transpose(0, 2, 1) + 0.3 * np.eye(latent_dim)
    mixture.assign_(
        torch.from_numpy(rng.dirichlet(np.ones(n_clusters))),
        torch.from_numpy(rng.normal(scale=2, size=(n_clusters, latent_dim))),
        torch.from_numpy(matrices),
    )
    return mixture


def random_model(
    likelihood="gaussian", covariance="full", n_features=4, n_clusters=3, latent_dim=2
):
    """A small float64 model whose every parameter, log-variance head included, is random."""
    generator = torch.Generator().manual_seed(1)
    shared = ((8,), latent_dim, "tanh", generator)
    model = MixtureVAE(
        make_encoder(None, torch.zeros(2, n_features), *shared),
        make_decoder(None, n_features, *shared),
        LIKELIHOODS[likelihood](summary(n_features)),
        random_mixture(covariance, n_clusters, latent_dim),
    ).double()
    torch.nn.init.normal_(model.encoder.log_variance_head.weight, std=0.3, generator=generator)
    return model


def rows_for(likelihood, n_rows=6, n_features=4):
    """Data in the support of a likelihood, float64."""
    generator = torch.Generator().manual_seed(2)
    uniform = torch.rand(n_rows, n_features, generator=generator, dtype=torch.float64)
    return {
        "bernoulli": (uniform > 0.5).double(),
        "gaussian": 3 * uniform - 1,
        "poisson": (6 * uniform).floor(),
        "negative_binomial": (6 * uniform).floor(),
    }[likelihood]


SDGM = partial(ADGM, skip=True)


def random_category_model(cls, n_features=4, n_clusters=3, latent_dim=2):
    """A small float64 GMVAE, M2, ADGM or SDGM whose every parameter is random."""
    generator = torch.Generator().manual_seed(1)
    n_decoded = latent_dim * (1 + (cls is SDGM)) + n_clusters * (cls is not GMVAE)
    parts = {
        "encoder": make_encoder(
            None, torch.zeros(2, n_features), (8,), latent_dim, "tanh", generator
        ),
        "decoder": make_decoder(None, n_features, (8,), n_decoded, "tanh", generator),
        "likelihood": LIKELIHOODS["gaussian"](summary(n_features)),
        "head": random_mixture("full", n_clusters, latent_dim, seed=1),
    }
    if cls is GMVAE:
        parts["mixture"] = random_mixture("full", n_clusters, latent_dim)
    model = cls(**parts).double()
    heads = [model.encoder.log_variance_head.weight, model.mean_offsets, model.log_variance_offsets]
    heads += [model.style_head.weight, model.logits] if cls is not GMVAE else []
    heads += [parameter for name, parameter in model.named_parameters() if name.startswith("aux")]
    heads += [model.category_head.weight, model.style_of_auxiliary] if cls in (ADGM, SDGM) else []
    for parameter in heads:
        torch.nn.init.normal_(parameter, std=0.5, generator=generator)
    return model
