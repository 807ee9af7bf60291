"""Tensors in, tensors out: networks, likelihoods, covariances, mixtures, models."""
