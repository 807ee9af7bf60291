"""An autoencoder with clusters among its codes, and no density of rows."""

from __future__ import annotations

from torch import Tensor

from skvade.nn.autoencoder import Autoencoder, Encoding
from skvade.nn.heads import Head
from skvade.nn.likelihoods import Likelihood
from skvade.nn.networks import Decoder, GaussianEncoder


class HeadedAutoencoder(Autoencoder):
    """Codes z = m(x), reconstructions f(z), and a head that gives q(c|z).

    Parameters
    ----------
    encoder : GaussianEncoder
        Its log-variance head is not used.
    decoder : Decoder
    likelihood : Likelihood
    head : Head
    """

    head: Head

    def __init__(
        self, encoder: GaussianEncoder, decoder: Decoder, likelihood: Likelihood, head: Head
    ):
        super().__init__(encoder, decoder, likelihood)
        self.head = head

    def category_logits(self, encoding: Encoding) -> Tensor:
        return self.head(encoding.code)

    def tailed_logits(self, code: Tensor) -> Tensor:
        return self.head.tailed(code)

    def take_partition_(self, codes: Tensor, labels: Tensor) -> None:
        self.head.assign_partition_(codes, labels)

    def permute_(self, order: Tensor) -> None:
        self.head.permute_(order)

    def centers(self) -> Tensor:
        return self.head.centers
