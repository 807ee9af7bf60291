"""Measures of a clustering: against true labels, and without any."""

from skvade.metrics._accuracy import clustering_accuracy
from skvade.metrics._assignment import mutual_information

__all__ = ["clustering_accuracy", "mutual_information"]
