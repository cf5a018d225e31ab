"""Private names of other libraries, in the one place that an upgrade has to look at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override
    from lightning.pytorch import Trainer
    from omegaconf import DictConfig


def has_auto_model(auto: Any, config: Any) -> bool:
    """Whether transformers has a model of this Auto class for a config's architecture."""
    return type(config) in auto._model_mapping


def node_of(config: DictConfig, key: str) -> DictConfig | None:
    """Return a config's node below a key, without resolving it; None where a value, nothing or `???` is there."""
    from omegaconf import DictConfig

    node = config._get_node(key)
    is_node = isinstance(node, DictConfig) and not node._is_none() and not node._is_missing()
    return node if is_node else None  # type: ignore[return-value]


def multiply_out(overrides: Sequence[Override]) -> list[list[str]]:
    """Return the overrides of each job of a sweep, in the order in which Hydra's own sweeper multiplies them out.

    Raises:
        HydraException: values that cannot be listed.
    """
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    batches: list[list[list[str]]] = BasicSweeper.split_arguments(list(overrides), None)
    return [words for batch in batches for words in batch]


def disable_signal_handlers(trainer: Trainer) -> None:
    """Keep Lightning from handling signals: it talks to other processes from within one, in the middle of what they say."""
    trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]


def is_validation_due(trainer: Trainer) -> bool:
    """Whether the validation split is predicted after this batch."""
    loop = trainer.fit_loop
    return loop.epoch_loop._should_check_val_fx(loop._data_fetcher)  # type: ignore[arg-type]


def trial_id(trial: Any) -> int:
    """Return the id of an Optuna trial in its storage, by which another process can go on with it."""
    return int(trial._trial_id)
