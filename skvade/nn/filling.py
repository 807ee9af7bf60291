"""What stands in the encoder's input where a value is missing."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import torch
from torch import Tensor, nn

N_DRAWS = 16  # a power of two: the sum of so many equal numbers is exact


@cache
def standard_normal(n_columns: int, n_rows: int) -> Tensor:
    """Numbers that are always the same, the second half of the rows less the first."""
    generator, size = torch.Generator().manual_seed(0), (n_rows // 2, n_columns)
    half = torch.randn(size, generator=generator, dtype=torch.float32, device="cpu")
    return torch.cat([half, -half])


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
    in_graph = False  # whose shapes no values may decide, as an ONNX file's
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
        if not self.loadings.shape[1]:
            return torch.where(absent, self.mean, view)
        known = torch.where(absent, 0.0, view - self.mean)
        gram = self._gram((~absent).to(view))
        z = self.solve(gram, (known @ self.loadings).unsqueeze(-1)).squeeze(-1)
        return torch.where(absent, self.mean + z @ self.loadings.T, view)

    def draws(self, view: Tensor, which: Tensor | None = None) -> Iterator[Tensor]:
        """What the rows may be, drawn N_DRAWS times given what is observed; each as `forward`.

        Where `which`, of shape (n_features,), is False, all draws have what `forward` has.

            z = (W_o' W_o + s2 I)^-1 [ W_o' (x_o - mu_o + s e_o) + s2 h ]
            x_m = mu_m + W_m z + s e_m

        with standard normal e and h has the moments of p(x_m | x_o) (Papandreou and Yuille,
        "Gaussian sampling by local perturbations", NIPS 2010). Every model has the same e and h, of
        which half are the others with their signs changed, so that the mean of all draws is that of
        `forward`.
        """
        absent, w, k = view.isnan(), self.loadings, self.loadings.shape[1]
        known, there = torch.where(absent, 0.0, view - self.mean), (~absent).to(view)
        if which is not None:
            view = torch.where(which, view, self(view))
            absent = absent & which
        numbers = standard_normal(len(self.mean) + k, N_DRAWS).to(view)
        errors, shifts = self.noise.sqrt() * numbers[:, k:], self.noise * numbers[:, :k]
        if not k:
            yield from (torch.where(absent, self.mean + error, view) for error in errors)
            return
        moved = errors.T.unsqueeze(2) * w.unsqueeze(1)  # (D, draws, k)
        right = (known @ w).unsqueeze(1) + shifts
        right = right + (there @ moved.flatten(1)).view(-1, N_DRAWS, k)
        codes = self.solve(self._gram(there), right.transpose(1, 2))  # (n, k, draws)
        for z, error in zip(codes.unbind(2), errors, strict=True):
            yield torch.where(absent, self.mean + z @ w.T + error, view)

    def _gram(self, there: Tensor) -> Tensor:
        """W_o' W_o + s2 I for every row: (n_samples, n_components, n_components)."""
        w, k = self.loadings, self.loadings.shape[1]
        products = (w.unsqueeze(2) * w.unsqueeze(1)).flatten(1)  # (D, k k)
        gram = (there @ products).view(-1, k, k)
        return gram + self.noise * torch.eye(k, dtype=w.dtype, device=w.device)
