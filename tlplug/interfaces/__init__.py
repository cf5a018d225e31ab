"""The three contracts that a plugin author implements, and the records that the core and a plugin exchange.

Nothing heavy is imported here, so that a plugin file can be imported without torch.
"""

from tlplug.interfaces.collate import pad_batch
from tlplug.interfaces.evidence_names import EVIDENCE_NAMES
from tlplug.interfaces.head import Prediction, TaskHead
from tlplug.interfaces.metric import (
    FORMS,
    SECTIONS,
    Evidence,
    Fact,
    NotMeasured,
    RowsContext,
    TransferMetric,
    WeightChange,
)
from tlplug.interfaces.strategy import (
    OPTIONAL,
    REQUIRED,
    AdaptContext,
    Capabilities,
    FrozenPrefix,
    LowRankUpdate,
    Requirement,
    Strategy,
)
from tlplug.interfaces.types import BaseInfo, Batch, LoadOptions, Outcome, Row, Rows, StepOutput

CONTRACT = 1
"""The version of the three contracts. A plugin sets `contract = 1`, which is checked when it is loaded."""

__all__ = [
    "CONTRACT",
    "EVIDENCE_NAMES",
    "FORMS",
    "OPTIONAL",
    "REQUIRED",
    "SECTIONS",
    "AdaptContext",
    "BaseInfo",
    "Batch",
    "Capabilities",
    "Evidence",
    "Fact",
    "FrozenPrefix",
    "LoadOptions",
    "LowRankUpdate",
    "NotMeasured",
    "Outcome",
    "Prediction",
    "Requirement",
    "Row",
    "Rows",
    "RowsContext",
    "StepOutput",
    "Strategy",
    "TaskHead",
    "TransferMetric",
    "WeightChange",
    "pad_batch",
]
