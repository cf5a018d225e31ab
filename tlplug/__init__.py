"""tlplug: adapt a pretrained model, and know what transferred.

The public names for plugin authors and scripts. What needs torch is imported when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tlplug.errors import PluginError, UsageError
from tlplug.interfaces import (
    AdaptContext,
    BaseInfo,
    Batch,
    Capabilities,
    Evidence,
    FrozenPrefix,
    LoadOptions,
    LowRank,
    NotMeasured,
    ProbeContext,
    Row,
    Rows,
    StepOutput,
    Strategy,
    TaskHead,
    TransferMetric,
    WeightChange,
)
from tlplug.settings import OptimizerSettings

if TYPE_CHECKING:
    from tlplug.evaluation.statistics import Comparison, Interval, compare_paired, shared_out, t_interval
    from tlplug.models.layers import blocks, depths, present_output_modules, trunk_linear_names, within
    from tlplug.models.loading import has_model, load_pretrained
    from tlplug.models.precision import bfloat16_unit
    from tlplug.runs.load import load

__version__ = "0.1.0"

_LAZY = {
    "bfloat16_unit": "tlplug.models.precision",
    "blocks": "tlplug.models.layers",
    "depths": "tlplug.models.layers",
    "has_model": "tlplug.models.loading",
    "load": "tlplug.runs.load",
    "load_pretrained": "tlplug.models.loading",
    "Comparison": "tlplug.evaluation.statistics",
    "compare_paired": "tlplug.evaluation.statistics",
    "Interval": "tlplug.evaluation.statistics",
    "shared_out": "tlplug.evaluation.statistics",
    "t_interval": "tlplug.evaluation.statistics",
    "present_output_modules": "tlplug.models.layers",
    "trunk_linear_names": "tlplug.models.layers",
    "within": "tlplug.models.layers",
}

__all__ = [
    "AdaptContext",
    "BaseInfo",
    "Batch",
    "Capabilities",
    "Comparison",
    "Evidence",
    "FrozenPrefix",
    "Interval",
    "LoadOptions",
    "LowRank",
    "NotMeasured",
    "OptimizerSettings",
    "PluginError",
    "ProbeContext",
    "Row",
    "Rows",
    "StepOutput",
    "Strategy",
    "TaskHead",
    "TransferMetric",
    "UsageError",
    "WeightChange",
    "bfloat16_unit",
    "blocks",
    "compare_paired",
    "depths",
    "has_model",
    "load",
    "load_pretrained",
    "present_output_modules",
    "shared_out",
    "t_interval",
    "trunk_linear_names",
    "within",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'tlplug' has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)
