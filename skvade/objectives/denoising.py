"""What a noisy pass must still know: the layers of the clean one, and its categories.

    sum_l D / (2 n_l) mean_i |h_l(x_i) - g_l(x~_i)|^2 - mean_i log p(x_i | f(x~_i))

x~ is a row of which values are dropped, in the input and in every hidden layer of the encoder; g_l
is the decoder's layer of the same size as the encoder's layer h_l, of n_l values, and D the number
of features (Rasmus et al. 2015; Dizaji et al. 2017, Eq. 8). The clean layers are what is to be
found: no gradient moves them towards the others, which would lose both. Networks of a user's own
have no layers that are known here; then the input alone is noisy, and rows alone are to be found.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from skvade.nn.autoencoder import Autoencoder, Encoding
from skvade.nn.layers import Layers, dropout
from skvade.objectives.base import Batch, EncodedObjective, ModelT, Terms, joined
from skvade.objectives.together import Beside


def noisy_pass(
    model: Autoencoder, x: Tensor, rate: float, generator: torch.Generator
) -> tuple[Encoding, Tensor]:
    """The encoding of a noisy pass, and the loss above, a mean over rows.

    Parameters
    ----------
    model : Autoencoder
        Outside training there is no noise.
    x : Tensor of shape (n_rows, n_features)
    rate : float
        The probability with which a value is dropped.
    generator : torch.Generator
    """
    view, clean = model.view(x), None
    if model.has_layers:
        with torch.no_grad():
            _, clean = model.encode_through(view)
    noisy, _ = model.encode_through(view, dropout(rate if model.training else 0.0, generator))
    return noisy, decoded_loss(model, x, clean, model.decode_through(noisy))


def decoded_loss(model: Autoencoder, x: Tensor, clean: Layers | None, decoded: Layers) -> Tensor:
    """The loss above, given the layers of the encoder, if they are known, and of the decoder."""
    loss = -model.likelihood.log_prob(x, decoded.output).mean()
    if clean is None:
        return loss
    for h, g in zip(clean.hidden, decoded.hidden[::-1], strict=True):
        loss = loss + 0.5 * x.shape[-1] * (h.to(loss.dtype) - g.to(loss.dtype)).square().mean()
    return loss


class Denoised(EncodedObjective[ModelT]):
    """Another objective's terms of the noisy encoding, and the loss above.

    Parameters
    ----------
    objective : EncodedObjective
        Has no reconstruction of its own.
    rate : float
        The probability with which a value is dropped.
    """

    def __init__(self, objective: EncodedObjective[ModelT], rate: float):
        self.objective = objective
        self.rate = rate

    def parts(self) -> Sequence[EncodedObjective[ModelT]]:
        return [self.objective]

    def terms(
        self, model: ModelT, batch: Batch, encoding: Encoding, generator: torch.Generator
    ) -> Terms:
        noisy, loss = noisy_pass(model, batch.x, self.rate, generator)
        of_noisy = self.objective.terms(model, batch, noisy, generator)
        return joined({"reconstruction": loss}, of_noisy)


class WithDenoising(Beside[ModelT]):
    """Another objective's terms, of the clean encoding, plus the loss above.

    Parameters
    ----------
    objective : EncodedObjective
    weight : float
    rate : float
        The probability with which a value is dropped.
    """

    def __init__(self, objective: EncodedObjective[ModelT], weight: float, rate: float):
        super().__init__(objective, weight)
        self.rate = rate

    def further(self, model: ModelT, batch: Batch, generator: torch.Generator) -> Terms:
        _, loss = noisy_pass(model, batch.x, self.rate, generator)
        return {"denoising": loss}
