"""Deep generative clustering that behaves like scikit-learn."""

from skvade._version import __version__
from skvade.estimators.adgm import ADGMClassifier
from skvade.estimators.auxiliary_task import AuxiliaryTaskClassifier
from skvade.estimators.dcn import DCNClustering
from skvade.estimators.dec import DECClustering, IDECClustering
from skvade.estimators.depict import DEPICTClustering
from skvade.estimators.gmvae import GMVAEClustering
from skvade.estimators.load import load
from skvade.estimators.m2 import M2Clustering
from skvade.estimators.m2_classifier import M2Classifier
from skvade.estimators.save import save
from skvade.estimators.to_onnx import to_onnx
from skvade.estimators.vade import VaDEClustering
from skvade.estimators.vade_classifier import VaDEClassifier

__all__ = [
    "ADGMClassifier",
    "AuxiliaryTaskClassifier",
    "DCNClustering",
    "DECClustering",
    "DEPICTClustering",
    "GMVAEClustering",
    "IDECClustering",
    "M2Classifier",
    "M2Clustering",
    "VaDEClassifier",
    "VaDEClustering",
    "__version__",
    "load",
    "save",
    "to_onnx",
]
