"""Transfer-quality metrics."""
