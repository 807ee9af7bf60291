"""How methods with a q(c|x) of their own take the expectation over the category."""

from __future__ import annotations

from skvade.estimators.facts import Facts
from skvade.estimators.parameters import parameters
from skvade.objectives.marginalization import Drawn, Exact, Gumbel, Marginalization


@parameters
class MarginalizationParameters:
    """Of methods whose reconstruction needs the category.

    Parameters
    ----------
    marginalization : {"gumbel", "exact"}, default="gumbel"
        How the last phase takes the expectation of the reconstruction over the category. "exact"
        sums over clusters, with `n_clusters` passes through the decoder in every step; "gumbel"
        needs one pass, at a relaxed draw softmax((log q(c|x) + Gumbel noise) / temperature). Use
        "exact" for few clusters, and where you need the bound itself.
    temperature, min_temperature : float, default=1.0, 0.5
        Temperature of the relaxed draws in the first and the last step, decreasing geometrically in
        between. Lower temperatures are closer to the exact bound, but their gradients vary more.

    Attributes
    ----------
    lower_bound_ : float
        Evidence lower bound per training row, in nats, in the units of X; with "gumbel" its
        reconstruction is that of one category for each row, drawn by q(c|x). NaN where a term of
        it has the weight 0.
    """

    marginalization: str = "gumbel"
    temperature: float = 1.0
    min_temperature: float = 0.5

    def _make_marginalization(self, facts: Facts) -> Marginalization:
        if self.marginalization == "exact":
            return Exact()
        if self.min_temperature > self.temperature:
            raise ValueError(
                f"min_temperature={self.min_temperature} must be at most temperature="
                f"{self.temperature}, from which it falls; lower it, or raise temperature."
            )
        return Gumbel(self.temperature, self.min_temperature, self._train_steps(facts))

    def _make_evaluation(self) -> Marginalization:
        """That of the bound of the fitted model."""
        return Exact() if self.marginalization == "exact" else Drawn()
