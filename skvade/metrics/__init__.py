"""Measures of a clustering: against true labels, and without any."""

from skvade.metrics._accuracy import clustering_accuracy
from skvade.metrics._assignment import mutual_information
from skvade.metrics._naming import most_confident_labels
from skvade.metrics._stability import stability_score

__all__ = [
    "clustering_accuracy",
    "most_confident_labels",
    "mutual_information",
    "stability_score",
]
