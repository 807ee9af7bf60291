"""AuxiliaryTaskClassifier: classes by auxiliary tasks among features."""

from __future__ import annotations

from typing import Any

import numpy as np

from skvade.estimators.adversarial import AdversarialTraining
from skvade.estimators.docstrings import inherit_docs
from skvade.estimators.facts import Facts
from skvade.estimators.parameters import parameters
from skvade.estimators.recipe import Objectives
from skvade.estimators.semi_supervised import SemiSupervisedClassifier
from skvade.nn.autoencoder import Networks
from skvade.nn.headed import HeadedAutoencoder
from skvade.nn.heads import Linear
from skvade.nn.summary import ModelShape
from skvade.objectives.auxiliary import AuxiliaryTasks
from skvade.objectives.base import EncodedObjective
from skvade.training.events import Running
from skvade.training.peers import current_peers


@inherit_docs
@parameters
class AuxiliaryTaskClassifier(SemiSupervisedClassifier, AdversarialTraining):
    """Learning to cluster with auxiliary tasks: classes from few labels, without a density.

    With features f(x), here the codes, p(c|x) by a linear head on them, and for every row an
    assigned class c, its label or that of the nearest labelled rows among the features, the loss is

        L_R + L_C + w_A L_A + w_F L_F:

    the squared error of the reconstruction; KL(q(c|x) || uniform) / log K of a relaxed draw q;
    an assignment loss, 1/2 mean [tanh(-log p(c|x)) + sum_{d != c} tanh(log p(d|x)) + 1]; and the
    mean distance of features, of length one, to the labelled ones of their assigned class. It is
    multiplied by 64, so that it counts beside the neighbours, whose weight is in nats. At least one
    row needs a label. With `adversarial_iter` the assigned class of a row is the one that this
    phase has left it in.

    Parameters
    ----------
    n_classes : int or None, default=None
        Number of classes; every class needs a labelled row.
    learning_rate : float, default=4e-3
        Peak learning rate of Adam while neighbours are drawn together, less below 4,000 rows; the
        autoencoder before that is trained at half of it, and the last phase uses a quarter.
        Lower it when training had to recover from a non-finite loss.
    n_nearest : int, default=1
        Number kappa of nearest labelled rows that assign a class to an unlabelled one; sought among
        256 drawn in every step, where there are more. Raise it where single labels may be wrong.
    assignment_weight : float, default=10.0
        Weight w_A of the assignment loss. Lower it where the nearest labelled row often belongs to
        another class.
    feature_weight : float, default=1.0
        Weight w_F of the feature loss, which draws features to those of their class. Raise it for
        tighter classes.
    labeled_share : float, default=0.6
        Weight alpha of labelled rows in L_F; unlabelled rows have 1 - alpha. Lower it where many
        rows have a label.
    temperature : float, default=1.0
        Temperature of the relaxed draws, softmax((log p(c|x) + Gumbel noise) / temperature). Lower
        temperatures are closer to a hard choice, but their gradients vary more.

    See Also
    --------
    VaDEClassifier : A generative model with labels for some rows.

    References
    ----------
    Arias Figueroa and Rivera, "Learning to cluster with auxiliary tasks: a semi-supervised
    approach", 2017.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from skvade import AuxiliaryTaskClassifier
    >>> X, y = make_blobs(300, centers=3, random_state=0)
    >>> y[30:] = -1
    >>> model = AuxiliaryTaskClassifier(hidden_layer_sizes=(64,), latent_dim=8, random_state=0)
    >>> model.fit(X, y).predict(X[:2]).shape
    (2,)
    """

    n_nearest: int = 1
    assignment_weight: float = 10.0
    feature_weight: float = 1.0
    labeled_share: float = 0.6
    temperature: float = 1.0

    _finds_unlabeled = False
    _cure_of_no_labels = "label some rows, or use VaDEClassifier or VaDEClustering"

    def _read_labels(self, y: Any, n_samples: int) -> tuple[int, np.ndarray | None]:
        n_clusters, labels = super()._read_labels(y, n_samples)
        with current_peers().alike():
            if n_clusters > self._n_labeled:
                raise ValueError(
                    f"AuxiliaryTaskClassifier finds only classes with a labelled row; n_classes="
                    f"{n_clusters} is more than the {self._n_labeled} in y. Set it to None, or use "
                    "VaDEClassifier or VaDEClustering."
                )
        return n_clusters, labels

    def _make_model(self, networks: Networks, shape: ModelShape) -> HeadedAutoencoder:
        return HeadedAutoencoder(*networks, head=Linear(shape.n_clusters, shape.latent_dim))

    def _make_objectives(self, facts: Facts) -> Objectives:
        def train(run: Running) -> EncodedObjective:
            fixed = run.handover.codes_fixed  # the nearest labels would want to move them
            return AuxiliaryTasks(
                self._partition(run) if fixed else self._known(run, facts),
                self.n_nearest,
                self.assignment_weight,
                self.feature_weight,
                self.labeled_share,
                self.temperature,
            )

        return Objectives(train=train, rate=lambda n_rows: 0.25)  # bounded losses need no care
