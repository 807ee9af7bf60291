"""Models at principal components, with scikit-learn's for comparison."""

import math

import torch
from sklearn.decomposition import PCA

from skvade.nn.likelihoods import LIKELIHOODS
from skvade.nn.mixtures import make_mixture
from skvade.nn.networks import make_decoder, make_encoder, start_linear_paths_
from skvade.nn.vade import MixtureVAE
from tests.conftest import summary


def model_at_components(X, sizes, latent_dim, likelihood="gaussian"):
    """A model in float64 that has not been trained, and the PCA of what its encoder sees."""
    n_features = X.shape[1]
    generator = torch.Generator().manual_seed(0)
    family = LIKELIHOODS[likelihood](summary(n_features))
    view = family.encoder_input(torch.from_numpy(X))
    pca = PCA(min(latent_dim, n_features)).fit(view.numpy())
    shared = ("tanh", generator, True)
    encoder = make_encoder(None, view.float(), sizes, latent_dim, *shared)
    decoder = make_decoder(None, n_features, sizes, latent_dim, *shared)
    mean, axes = torch.from_numpy(pca.mean_), torch.from_numpy(pca.components_.T)
    start_linear_paths_(encoder, decoder, mean, axes, *family.linear_start(mean))
    mixture = make_mixture("full", 1, latent_dim, 0.0)
    model = MixtureVAE(encoder, decoder, family, mixture).double().requires_grad_(False)
    return model, pca


def probabilistic_pca(X, latent_dim):
    """A linear model at Tipping and Bishop's optimum, with its exact posterior."""
    model, pca = model_at_components(X, (), latent_dim)
    noise = pca.noise_variance_
    signal = pca.explained_variance_ - noise
    share = signal / pca.explained_variance_  # of a component that is not noise
    variance = torch.from_numpy(noise * share)
    model.encoder.mean_head.weight.copy_(torch.diag(torch.from_numpy(share)))
    model.encoder.mean_head.bias.zero_()
    model.encoder.set_log_variance_(variance.log())
    model.likelihood.log_variance.fill_(math.log(noise - model.likelihood.variance_floor))
    matrices = torch.diag(torch.from_numpy(signal))[None]
    model.mixture.assign_(torch.ones(1).double(), torch.zeros(1, latent_dim).double(), matrices)
    return model, pca
