import numpy as np
import pytest
from sklearn.datasets import make_blobs

from skvade import VaDEClustering
from skvade.inspection import ClusterCountDisplay
from tests.inspection.conftest import fit


@pytest.fixture(scope="module")
def counted():
    X, _ = make_blobs(300, centers=[[0, 0], [9, 0], [0, 9]], random_state=0)
    return fit(VaDEClustering, X, n_clusters="auto", max_clusters=6, latent_dim=2)


def test_bars_are_the_evidence_and_the_tree_is_the_tree(counted):
    display = ClusterCountDisplay.from_estimator(counted)
    heights = [bar.get_height() for bar in display.bars_]
    np.testing.assert_array_equal(heights, counted.cluster_evidence_[2:])
    np.testing.assert_allclose([bar.get_center()[0] for bar in display.bars_], range(2, 7))
    tops = [path.vertices[:, 1].max() for path in display.tree_.get_paths()]
    np.testing.assert_allclose(np.sort(tops), counted.merge_tree_[:, 2])


def test_the_line_cuts_as_many_branches_as_there_are_clusters(counted):
    display = ClusterCountDisplay.from_estimator(counted)
    (line,) = display.axes_[1].get_lines()
    cut = line.get_ydata()[0]
    assert (counted.merge_tree_[:, 2] > cut).sum() == counted.n_clusters_ - 1


def test_a_given_number_has_no_evidence(models):
    with pytest.raises(ValueError, match=r"must have merge_tree_ .* n_clusters='auto'"):
        ClusterCountDisplay.from_estimator(models["VaDEClustering"])


def test_axes_are_divided_or_given(counted, plt):
    figure, (ax, other) = plt.subplots(1, 2)
    assert ClusterCountDisplay.from_estimator(counted, ax=ax).figure_ is figure
    assert not other.has_data()
    display = ClusterCountDisplay.from_estimator(counted, ax=plt.subplots(1, 2)[1])
    assert all(panel.has_data() for panel in display.axes_)


def test_a_single_group_has_no_mergers():
    display = ClusterCountDisplay(np.full(4, np.nan), np.empty((0, 4)), 2).plot()
    assert not display.tree_.get_paths()
