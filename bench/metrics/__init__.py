"""Time the metrics, and what recording evidence adds to a run."""
