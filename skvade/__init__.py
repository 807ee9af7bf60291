"""Deep generative clustering that behaves like scikit-learn."""

from skvade._vade import VaDEClustering

__version__ = "0.1.0"

__all__ = ["VaDEClustering", "__version__"]
