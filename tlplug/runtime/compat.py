"""Private names of other libraries, in one place to check at an upgrade."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override
    from lightning.pytorch import Trainer
    from omegaconf import DictConfig


def has_auto_model(auto: Any, config: Any) -> bool:
    """Return whether transformers has a model of this Auto class for a config's architecture."""
    return type(config) in auto._model_mapping


def node_of(config: DictConfig, key: str) -> DictConfig | None:
    """Return a config's node below a key without resolving it; None for a value, nothing or `???`."""
    from omegaconf import DictConfig

    node = config._get_node(key)
    is_node = isinstance(node, DictConfig) and not node._is_none() and not node._is_missing()
    return node if is_node else None  # type: ignore[return-value]


def multiply_out(overrides: Sequence[Override]) -> list[list[str]]:
    """Return the overrides of each job of a sweep, in the order of Hydra's own sweeper.

    Raises:
        HydraException: the values of an override cannot be listed.
    """
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    batches: list[list[list[str]]] = BasicSweeper.split_arguments(list(overrides), None)
    return [job for batch in batches for job in batch]


def disable_signal_handlers(trainer: Trainer) -> None:
    """Keep Lightning from handling signals, since its handlers communicate with other processes at any moment."""
    trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]


def is_validation_due(trainer: Trainer) -> bool:
    """Return whether the validation split is predicted after this batch."""
    loop = trainer.fit_loop
    return loop.epoch_loop._should_check_val_fx(loop._data_fetcher)  # type: ignore[arg-type]


def trial_id(trial: Any) -> int:
    """Return the id of an Optuna trial in its storage, by which another process can continue it."""
    return int(trial._trial_id)
