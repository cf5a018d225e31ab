"""What plugins promise and the records that pass between the core and them.

This package imports no other tlplug module and nothing heavy, so that a plugin
file can be read without torch being loaded.
"""

from tlplug.errors import PluginError, Stopped, TrainingFailed, UsageError
from tlplug.interfaces.head import Prediction, TaskHead
from tlplug.interfaces.metric import Evidence, NotMeasured, ProbeContext, TransferMetric, WeightChange
from tlplug.interfaces.strategy import AdaptContext, Capabilities, FrozenPrefix, LowRank, Strategy
from tlplug.interfaces.types import BaseInfo, Batch, LoadOptions, Outcome, Row, Rows, StepOutput
from tlplug.runtime.files import refuse_address
from tlplug.settings import (
    CheckpointSettings,
    DataSettings,
    DomainSettings,
    EvidenceSettings,
    LimitSettings,
    ModelSettings,
    OptimizerSettings,
    SplitSettings,
    TrainerSettings,
    TransferSettings,
)

CONTRACT = 1
"""The version of the three contracts. A plugin says `contract = 1`; it is checked at registration."""

__all__ = [
    "CONTRACT",
    "AdaptContext",
    "BaseInfo",
    "Batch",
    "Capabilities",
    "CheckpointSettings",
    "DataSettings",
    "DomainSettings",
    "Evidence",
    "EvidenceSettings",
    "FrozenPrefix",
    "LimitSettings",
    "LoadOptions",
    "LowRank",
    "ModelSettings",
    "NotMeasured",
    "OptimizerSettings",
    "Outcome",
    "PluginError",
    "Prediction",
    "ProbeContext",
    "Row",
    "Rows",
    "SplitSettings",
    "StepOutput",
    "Stopped",
    "Strategy",
    "TaskHead",
    "TrainerSettings",
    "TrainingFailed",
    "TransferMetric",
    "TransferSettings",
    "UsageError",
    "WeightChange",
    "refuse_address",
]
