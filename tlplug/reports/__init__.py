"""The result of a run, for programs (result.json) and for a person (the table)."""
