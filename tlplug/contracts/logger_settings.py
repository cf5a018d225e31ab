"""What a user types about the places that a run is logged to. The only home of these defaults."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Optional

from tlplug.contracts.errors import UsageError


@dataclass
class NoSettings:
    """Nowhere."""


@dataclass
class CsvSettings:
    """metrics.csv in the run directory."""


@dataclass
class TensorboardSettings:
    """TensorBoard's event files in the run directory."""

    def __post_init__(self) -> None:
        expect_package("tensorboard")


@dataclass
class MlflowSettings:
    """One MLflow run for the run, on a tracking server or in a local store."""

    tracking_uri: Optional[str] = None
    """null: MLFLOW_TRACKING_URI, else MLflow's own local store in the working directory, which `mlflow ui` shows."""
    experiment: str = "tlplug"
    run_name: Optional[str] = None
    """null: task, strategy and seed."""
    tags: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        expect_package("mlflow")


@dataclass
class WandbSettings:
    """Weights & Biases: one W&B run for the run, written offline where there is no key or no network."""

    project: str = "tlplug"
    entity: Optional[str] = None
    group: Optional[str] = None
    """null: the name of the sweep, for a run of one."""
    tags: list[str] = field(default_factory=list)
    """Beside the strategy and the task."""
    offline: bool = False
    log_model: bool = False
    """What was trained, as an artifact."""
    init_timeout: float = 20.0
    """Seconds to wait for the service at the start; then the run is written offline."""
    finish_timeout: float = 300.0
    """Seconds to wait at the end for what is still to be sent; what was not sent can be sent later."""


LOGGERS: dict[str, type] = {
    "csv": CsvSettings,
    "mlflow": MlflowSettings,
    "none": NoSettings,
    "tensorboard": TensorboardSettings,
    "wandb": WandbSettings,
}


def expect_package(name: str) -> None:
    """Found out when the settings are made, before anything is loaded or begun.

    Raises:
        UsageError: the package that a logger needs, and whose name is that of its extra, is not installed.
    """
    if find_spec(name) is None:
        raise UsageError(f"logger={name} needs the package {name}: pip install 'tlplug[{name}]'")
