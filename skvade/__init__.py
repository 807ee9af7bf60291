"""Deep generative clustering that behaves like scikit-learn."""

from skvade._auxiliary import AuxiliaryTaskClassifier
from skvade._dcn import DCNClustering
from skvade._dec import DECClustering, IDECClustering
from skvade._gmvae import GMVAEClustering
from skvade._m2 import M2Clustering
from skvade._m2_classifier import M2Classifier
from skvade._persistence import load
from skvade._vade import VaDEClustering
from skvade._vade_classifier import VaDEClassifier
from skvade._version import __version__

__all__ = [
    "AuxiliaryTaskClassifier",
    "DCNClustering",
    "DECClustering",
    "GMVAEClustering",
    "IDECClustering",
    "M2Classifier",
    "M2Clustering",
    "VaDEClassifier",
    "VaDEClustering",
    "__version__",
    "load",
]
