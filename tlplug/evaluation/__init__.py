"""What a run records so that metrics can be computed, now or later, without the model."""
