"""What plugins promise and the records that pass between the core and them.

This package imports no other tlplug module and nothing heavy, so that a plugin
file can be read without torch being loaded.
"""

from tlplug.contracts.errors import PluginError, UsageError
from tlplug.contracts.head import Prediction, TaskHead
from tlplug.contracts.metric import Evidence, NotMeasured, TransferMetric
from tlplug.contracts.records import (
    AdaptContext,
    BaseInfo,
    Batch,
    Capabilities,
    FrozenPrefix,
    LoadOptions,
    Outcome,
    Row,
    Rows,
    StepOutput,
)
from tlplug.contracts.settings import (
    DataSettings,
    DomainSettings,
    LimitSettings,
    ModelSettings,
    OptimizerSettings,
    SplitSettings,
    TrainerSettings,
    TransferSettings,
)
from tlplug.contracts.strategy import Strategy

CONTRACT = 1
"""The version of the three contracts. A plugin says `contract = 1`; it is checked at registration."""

__all__ = [
    "CONTRACT",
    "AdaptContext",
    "BaseInfo",
    "Batch",
    "Capabilities",
    "DataSettings",
    "DomainSettings",
    "Evidence",
    "FrozenPrefix",
    "LimitSettings",
    "LoadOptions",
    "ModelSettings",
    "NotMeasured",
    "OptimizerSettings",
    "Outcome",
    "PluginError",
    "Prediction",
    "Row",
    "Rows",
    "SplitSettings",
    "StepOutput",
    "Strategy",
    "TaskHead",
    "TrainerSettings",
    "TransferMetric",
    "TransferSettings",
    "UsageError",
]
