"""Pictures of fits, in scikit-learn's Display convention."""

from skvade.inspection._assignment import AssignmentDisplay
from skvade.inspection._cluster_count import ClusterCountDisplay
from skvade.inspection._cluster_profile import ClusterProfileDisplay
from skvade.inspection._generated_samples import GeneratedSamplesDisplay
from skvade.inspection._interpolation import InterpolationDisplay
from skvade.inspection._latent_space import LatentSpaceDisplay
from skvade.inspection._latent_traversal import LatentTraversalDisplay
from skvade.inspection._profiles import cluster_profiles
from skvade.inspection._reconstruction import ReconstructionDisplay
from skvade.inspection._training_curves import TrainingCurvesDisplay

__all__ = [
    "AssignmentDisplay",
    "ClusterCountDisplay",
    "ClusterProfileDisplay",
    "GeneratedSamplesDisplay",
    "InterpolationDisplay",
    "LatentSpaceDisplay",
    "LatentTraversalDisplay",
    "ReconstructionDisplay",
    "TrainingCurvesDisplay",
    "cluster_profiles",
]
