"""The result of a run, for programs (result.json) and for a person (the table)."""

from tlplug.report.result import make_result
from tlplug.report.table import show_result

__all__ = ["make_result", "show_result"]
