"""The three problem types of classification, with a file for each."""

from tlplug_plugins.heads.problem_types.multi_label import MultiLabel
from tlplug_plugins.heads.problem_types.problem_type import Problem
from tlplug_plugins.heads.problem_types.regression import Regression
from tlplug_plugins.heads.problem_types.single_label import SingleLabel

PROBLEMS: dict[str, type[Problem]] = {
    "single_label": SingleLabel,
    "multi_label": MultiLabel,
    "regression": Regression,
}

__all__ = ["PROBLEMS", "Problem"]
