"""Compare finished runs in one report, or rewrite the report of one run."""
