"""What stands in the encoder's input where a value is missing."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Filling(nn.Module):
    """What the others of a row lead one to expect, by probabilistic principal components.

        E[x_m | x_o] = mu_m + W_m z,    z = (W_o' W_o + s2 I)^-1 W_o' (x_o - mu_o)

    with the rows W_m and W_o of the loadings that belong to missing and to observed features
    (Tipping and Bishop 1999; Ilin and Raiko 2010). Without loadings that is the mean.

    Parameters
    ----------
    n_features, n_components : int

    Attributes
    ----------
    mean : Tensor of shape (n_features,)
    loadings : Tensor of shape (n_features, n_components)
        W.
    noise : Tensor of shape ()
        s2.
    """

    solve = staticmethod(torch.linalg.solve)
    mean: Tensor
    loadings: Tensor
    noise: Tensor

    def __init__(self, n_features: int, n_components: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(n_features))
        self.register_buffer("loadings", torch.zeros(n_features, n_components))
        self.register_buffer("noise", torch.ones(()))

    def start_(self, mean: Tensor, loadings: Tensor, noise: Tensor) -> None:
        """Take these values."""
        for own, value in ((self.mean, mean), (self.loadings, loadings), (self.noise, noise)):
            own.copy_(value)

    def forward(self, view: Tensor) -> Tensor:
        """The same rows without NaN: (n_samples, n_features), all else untouched."""
        absent = view.isnan()
        w, n_components = self.loadings, self.loadings.shape[1]
        if not n_components:
            return torch.where(absent, self.mean, view)
        known = torch.where(absent, 0.0, view - self.mean)
        products = (w.unsqueeze(2) * w.unsqueeze(1)).flatten(1)  # (D, k k)
        gram = ((~absent).to(view) @ products).view(-1, n_components, n_components)
        gram = gram + self.noise * torch.eye(n_components, dtype=view.dtype, device=view.device)
        z = self.solve(gram, (known @ w).unsqueeze(-1)).squeeze(-1)
        return torch.where(absent, self.mean + z @ w.T, view)
