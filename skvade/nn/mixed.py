"""p(x | z) of tables whose columns are of several kinds: measurements, counts, categories.

    log p(x | f) = sum_b log p_b(x_b | f_b)

Each block b of columns has a family of its own, and each column in it a scale of its own. So no
kind drowns another: what a column tells is counted in nats, whatever its unit.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate
from typing import Any, cast

import torch
from torch import Tensor, nn

from skvade.nn.likelihoods import LIKELIHOODS, RARE, Bernoulli, Gaussian, Likelihood
from skvade.nn.summary import Block, DataSummary


class Measurements(Gaussian):
    """Gaussian features with a noise variance v_d for each, learned; outputs are means.

    `log p(x|f) = -1/2 sum_d [ (x_d - f_d)^2 / v_d + log(2 pi v_d) ]`. The floor on v_d is relative
    to the feature's own variance.
    """

    variance_floor = 1e-2

    def __init__(self, summary: DataSummary):
        super().__init__(summary)
        self.log_variance = nn.Parameter(torch.zeros(summary.n_features))

    @torch.no_grad()
    def calibrate_(self, residual: Tensor, mean: Tensor, squared_mean: Tensor) -> None:
        excess = (residual - self.variance_floor).clamp(min=self.variance_floor)
        self.log_variance.copy_(excess.log())


class Categorical(Likelihood):
    """Categories, each in as many columns of zeros and ones as there are; outputs are logits.

    `log p(x|f) = sum_k x_k log softmax(f)_k` over the columns of each feature.

    Parameters
    ----------
    summary : DataSummary
    widths : tuple of int
        The number of categories of each feature.
    """

    order: Tensor

    def __init__(self, summary: DataSummary, widths: tuple[int, ...]):
        super().__init__(summary)
        self.widths = widths
        self._number_columns()

    def _number_columns(self) -> None:
        """Which columns are each feature's, of features with as many categories together."""
        firsts = [
            stop - width for stop, width in zip(accumulate(self.widths), self.widths, strict=True)
        ]
        in_turn: list[int] = []
        for width in self._different:
            own = [first for first, w in zip(firsts, self.widths, strict=True) if w == width]
            places = [[*range(first, first + width)] for first in own]
            in_turn += [number for some in places for number in some]
            self._keep(f"places_of_{width}", places)
        self._keep("order", sorted(range(len(in_turn)), key=in_turn.__getitem__))

    def _keep(self, name: str, numbers: list[Any]) -> None:
        self.register_buffer(name, torch.tensor(numbers), persistent=False)

    @property
    def _different(self) -> list[int]:
        return sorted(set(self.widths))

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._number_columns()  # of a module that was made without memory

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "order" not in self._buffers:  # a pickle of an older version
            self._number_columns()

    def linear_start(self, mean: Tensor) -> tuple[Tensor, float]:
        return mean.clamp(min=RARE).log(), 4.0  # as Bernoulli's

    def log_probs(self, x: Tensor, outputs: Tensor) -> Tensor:
        return x * self.log_shares(outputs)

    def log_shares(self, outputs: Tensor) -> Tensor:
        """The logarithm of each category's probability, of the same shape as outputs."""
        return self._of_each_feature(lambda logits: logits.log_softmax(-1), outputs)

    def mean(self, outputs: Tensor) -> Tensor:
        return self.log_shares(outputs).exp()

    def sample(self, outputs: Tensor, generator: torch.Generator) -> Tensor:
        def draw(shares: Tensor) -> Tensor:
            drawn = torch.multinomial(shares.flatten(0, -2), 1, generator=generator)
            return torch.zeros_like(shares).scatter(-1, drawn.view(*shares.shape[:-1], 1), 1.0)

        return self._of_each_feature(draw, self.mean(outputs))

    def _of_each_feature(self, do: Callable[[Tensor], Tensor], values: Tensor) -> Tensor:
        """What is done along the categories of (..., n_features, n_categories), as columns."""
        parts = [getattr(self, f"places_of_{width}") for width in self._different]
        done = [do(values[..., places]).flatten(-2) for places in parts]
        return torch.cat(done, -1)[..., self.order]


class Mixed(Likelihood):
    """Blocks of columns, each with a family of its own; what the encoder sees is scaled.

    Parameters
    ----------
    summary : DataSummary
        With the blocks.
    """

    standardizes = True
    bounded = False
    scale: Tensor

    def __init__(self, summary: DataSummary):
        super().__init__(summary)
        self.parts = nn.ModuleList(map(_make_part, summary.blocks))
        self.sizes = [block.summary.n_features for block in summary.blocks]
        scales = [scale for block in summary.blocks for scale in block.scales]
        self.register_buffer("scale", torch.tensor(scales))

    @property
    def variance(self) -> Tensor:
        """The noise variance of each column in the model's units; one where there is no such."""
        ones = torch.ones_like(self.scale).split(self.sizes)
        variances = [
            part.variance if isinstance(part, Measurements) else one
            for part, one in zip(self.parts, ones, strict=True)
        ]
        return torch.cat(variances)

    @property
    def are_drawn(self) -> list[bool]:
        drawn: list[bool] = []
        for part, size in zip(self.parts, self.sizes, strict=True):
            drawn += [not isinstance(part, Bernoulli | Categorical)] * size
        return drawn

    def encoder_input(self, x: Tensor) -> Tensor:
        return self._of_each(lambda part, x: part.encoder_input(x), x) * self.scale

    def as_classes(self, x: Tensor) -> Tensor:
        """Numbers as the encoder sees them, and shares, of which each feature's have the sum one.

        (n_samples, n_features) to (n_samples, n_columns); `are_shares` says which are shares.
        """
        sizes, families = self.sizes, self._families
        parts = zip(families, x.split(sizes, -1), self.scale.split(sizes), strict=True)
        columns = []
        for part, own, scale in parts:
            whole = part.encoder_input(own) * scale
            if isinstance(part, Bernoulli):
                whole = torch.cat([own, 1 - own], -1)
            columns.append(own if isinstance(part, Categorical) else whole)
        return torch.cat(columns, -1)

    @property
    def are_shares(self) -> list[bool]:
        """Of each column that `as_classes` gives."""
        shares: list[bool] = []
        for part, size in zip(self.parts, self.sizes, strict=True):
            n_columns = 2 * size if isinstance(part, Bernoulli) else size
            shares += [isinstance(part, Bernoulli | Categorical)] * n_columns
        return shares

    def linear_start(self, mean: Tensor) -> tuple[Tensor, Tensor]:
        starts = [
            part.linear_start(own)
            for part, own in zip(self._families, (mean / self.scale).split(self.sizes), strict=True)
        ]
        gains = [torch.full((n,), float(s[1])) for s, n in zip(starts, self.sizes, strict=True)]
        return torch.cat([start for start, _ in starts]), torch.cat(gains).to(mean) / self.scale

    def log_probs(self, x: Tensor, outputs: Tensor) -> Tensor:
        return self._of_each(lambda part, x, f: part.log_probs(x, f), x, outputs)

    def mean(self, outputs: Tensor) -> Tensor:
        return self._of_each(lambda part, f: part.mean(f), outputs)

    def sample(self, outputs: Tensor, generator: torch.Generator) -> Tensor:
        return self._of_each(lambda part, f: part.sample(f, generator), outputs)

    def calibrate_(self, residual: Tensor, mean: Tensor, squared_mean: Tensor) -> None:
        moments = (moment.split(self.sizes) for moment in (residual, mean, squared_mean))
        for part, *own in zip(self.parts, *moments, strict=True):
            part.calibrate_(*own)

    @property
    def _families(self) -> list[Likelihood]:
        return cast(list[Likelihood], list(self.parts))

    def _of_each(self, function: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
        """A function of each part and of its columns; all columns again."""
        columns = (tensor.split(self.sizes, -1) for tensor in tensors)
        return torch.cat(
            [function(part, *own) for part, *own in zip(self.parts, *columns, strict=True)], -1
        )


def _make_part(block: Block) -> Likelihood:
    if block.likelihood == "categorical":
        return Categorical(block.summary, block.widths)
    return PARTS[block.likelihood](block.summary)


MIXED = "mixed"
PARTS: dict[str, type[Likelihood]] = {**LIKELIHOODS, "gaussian": Measurements}
FAMILIES: dict[str, type[Likelihood]] = {**LIKELIHOODS, MIXED: Mixed}
