"""What a row takes counts clusters and latent dimensions, so that blocks stay bounded."""

import numpy as np
import pytest

from skvade import VaDEClustering
from skvade.nn.vade import MixtureVAE
from skvade.training.units import BLOCK_BYTES
from tests.conftest import FAMILY, small

RNG = np.random.default_rng(0)


@pytest.mark.usefixtures("quiet")
def test_no_block_is_larger_than_its_differences_to_all_clusters_allow(monkeypatch):
    """A row takes K L differences to the means, in float64, at least."""
    n_clusters, latent_dim, seen = 60, 40, []
    assign = MixtureVAE.assign

    def watched(self, x):
        seen.append(len(x) * n_clusters * latent_dim * 8)
        return assign(self, x)

    monkeypatch.setattr(MixtureVAE, "assign", watched)
    X = RNG.normal(size=(2_500, 6))
    given = {"latent_dim": latent_dim, "init": "random", "pretrain_iter": 1, "max_iter": 1}
    model = small(VaDEClustering, n_clusters, neighbor_weight=0, **given).fit(X)
    model.predict_proba(X)
    assert max(seen) <= BLOCK_BYTES
    assert len(seen) > 4


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("cls", FAMILY)
def test_every_model_counts_its_clusters(cls):
    X, y = RNG.normal(size=(60, 4)), np.repeat([0, 1, 2], 20)
    few = small(cls).fit(X, y).module_.row_bytes(4)
    many = small(cls, latent_dim=12).fit(X, y).module_.row_bytes(4)
    assert many - few == 8 * 4 * 3 * (12 - 3)
