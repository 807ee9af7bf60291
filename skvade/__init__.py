"""Deep generative clustering that behaves like scikit-learn."""

from skvade._vade import VaDEClustering
from skvade._version import __version__

__all__ = ["VaDEClustering", "__version__"]
