"""tlplug: adapt a pretrained model, and know what transferred.

These are the public names for plugin authors and scripts. Names that need torch are imported on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tlplug.errors import PluginError, UsageError
from tlplug.interfaces import (
    EVIDENCE_NAMES,
    OPTIONAL,
    REQUIRED,
    AdaptContext,
    BaseInfo,
    Batch,
    Capabilities,
    Evidence,
    Fact,
    FrozenPrefix,
    LoadOptions,
    LowRankUpdate,
    NotMeasured,
    Row,
    Rows,
    RowsContext,
    StepOutput,
    Strategy,
    TaskHead,
    TransferMetric,
    WeightChange,
    pad_batch,
)
from tlplug.settings import OptimizerSettings

if TYPE_CHECKING:
    from tlplug.evaluation.bootstrap import Comparison, compare_paired
    from tlplug.evaluation.confidence_intervals import Interval, jackknife_values, t_interval
    from tlplug.models.layers import (
        backbone_linear_names,
        is_inside,
        modules_to_save,
        parameter_depths,
        transformer_blocks,
    )
    from tlplug.models.loading import has_model, load_pretrained
    from tlplug.models.precision import cpu_bfloat16_instructions
    from tlplug.models.transformers_head import TransformersHead
    from tlplug.runs.load import load

__version__ = "0.1.0"

_LAZY = {
    "cpu_bfloat16_instructions": "tlplug.models.precision",
    "transformer_blocks": "tlplug.models.layers",
    "parameter_depths": "tlplug.models.layers",
    "has_model": "tlplug.models.loading",
    "load": "tlplug.runs.load",
    "load_pretrained": "tlplug.models.loading",
    "Comparison": "tlplug.evaluation.bootstrap",
    "compare_paired": "tlplug.evaluation.bootstrap",
    "Interval": "tlplug.evaluation.confidence_intervals",
    "jackknife_values": "tlplug.evaluation.confidence_intervals",
    "TransformersHead": "tlplug.models.transformers_head",
    "t_interval": "tlplug.evaluation.confidence_intervals",
    "modules_to_save": "tlplug.models.layers",
    "backbone_linear_names": "tlplug.models.layers",
    "is_inside": "tlplug.models.layers",
}

__all__ = [
    "EVIDENCE_NAMES",
    "OPTIONAL",
    "REQUIRED",
    "AdaptContext",
    "BaseInfo",
    "Batch",
    "Capabilities",
    "Comparison",
    "Evidence",
    "Fact",
    "FrozenPrefix",
    "Interval",
    "LoadOptions",
    "LowRankUpdate",
    "NotMeasured",
    "OptimizerSettings",
    "PluginError",
    "Row",
    "Rows",
    "RowsContext",
    "StepOutput",
    "Strategy",
    "TaskHead",
    "TransferMetric",
    "TransformersHead",
    "UsageError",
    "WeightChange",
    "backbone_linear_names",
    "compare_paired",
    "cpu_bfloat16_instructions",
    "has_model",
    "is_inside",
    "jackknife_values",
    "load",
    "load_pretrained",
    "modules_to_save",
    "pad_batch",
    "parameter_depths",
    "t_interval",
    "transformer_blocks",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'tlplug' has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)
