"""What phases leave for later ones has a declared fate."""

from dataclasses import fields, make_dataclass

import numpy as np
import pytest
import torch

from skvade.training.handover import Count, Fate, Graph, Handover

GRAPH = Graph(torch.tensor([[1], [0]]), torch.ones(2, 1), 0.5)
FULL = Handover(GRAPH, torch.tensor([0, 1]), 2.0, 0.9, True, -3.0)


@pytest.mark.parametrize("field", fields(Handover), ids=lambda field: field.name)
def test_every_field_declares_its_fate(field):
    assert isinstance(field.metadata.get("fate"), Fate)


def test_a_field_without_a_fate_cannot_be_handed_over():
    careless = make_dataclass("Careless", [("secret", int, 1)], bases=(Handover,))
    with pytest.raises(KeyError, match="fate"):
        careless().state()


def test_a_state_is_plain_and_comes_back_whole():
    state = FULL.state()
    assert set(state) == {field.name for field in fields(Handover)}
    assert type(state["graph"]) is dict
    again = Handover()
    again.restore(state)
    assert again.need_graph().neighbours is GRAPH.neighbours
    assert again.need_graph().signal == 0.5
    assert torch.equal(again.need_partition(), torch.tensor([0, 1]))
    assert (again.scale, again.agreement, again.converged, again.bound) == (2.0, 0.9, True, -3.0)


def test_no_rows_outlive_a_run():
    """Of the last phase's outcome a checkpoint keeps numbers only."""
    outcome = FULL.state(at_end=True)
    numbers = {"scale": 2.0, "agreement": 0.9, "converged": True, "bound": -3.0, "elsewhere": 0.0}
    decided = {"stays": False, "codes_fixed": False}
    assert outcome == {**numbers, **decided, "doubt": 0.0, "count": None}


def test_a_count_is_the_outcome_of_the_run_that_counts():
    tree = np.ones((3, 4))
    count = Count(3, True, np.ones(8), tree, np.arange(4), np.ones(4))
    again = Handover()
    again.restore(Handover(count=count).state(at_end=True))
    assert (again.count.n_clusters, again.count.clear) == (3, True)
    assert again.count.tree is tree


def test_a_phase_that_comes_too_early_is_named():
    with pytest.raises(RuntimeError, match="FindNeighbours"):
        Handover().need_graph()
    with pytest.raises(RuntimeError, match="Initialise"):
        Handover().need_partition()
