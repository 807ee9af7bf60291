import pytest

from skvade.training.calibration import doubt_for


@pytest.mark.parametrize(("confidence", "kept"), [(0.99, 0.9), (0.6, 0.5), (1.0, 0.26)])
def test_doubt_makes_the_mean_confidence_what_was_kept(confidence, kept):
    e = doubt_for(confidence, kept, 4)
    assert 0 < e < 1
    assert (1 - e) * confidence + e / 4 == pytest.approx(kept)


@pytest.mark.parametrize(
    ("confidence", "kept", "n_clusters"), [(0.9, 0.9, 4), (0.8, 0.9, 4), (1.0, 1.0, 1), (1, 0, 1)]
)
def test_nobody_is_made_surer(confidence, kept, n_clusters):
    assert doubt_for(confidence, kept, n_clusters) == 0


def test_the_most_probable_cluster_stays_one():
    assert doubt_for(0.9, 0.0, 4) == 0.999
