"""Pictures of fitted models; the Display classes are to come."""
