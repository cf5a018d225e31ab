"""Time the metrics and the evidence."""
