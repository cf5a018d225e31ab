"""The contract of an adaptation strategy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from tlplug.interfaces.types import BaseInfo, Batch, LoadOptions, StepOutput
from tlplug.settings import OptimizerSettings

if TYPE_CHECKING:
    import torch
    from lightning.pytorch import Callback
    from torch import nn

    from tlplug.interfaces.head import TaskHead


class Requirement(Enum):
    """Whether a strategy needs its extra data."""

    REQUIRED = "required"
    """The user has to name the data; a run without it is refused."""
    OPTIONAL = "optional"
    """The user may name the data; the strategy also works without it."""


REQUIRED, OPTIONAL = Requirement.REQUIRED, Requirement.OPTIONAL


@dataclass(frozen=True)
class Capabilities:
    """The properties of a strategy, which are read before anything is loaded."""

    trains: bool = True
    """False: there are no trainable weights, so the strategy supports only heads that add no modules."""
    mergeable: bool = True
    """Whether `merge` returns a transformers model that works without the strategy."""
    changes_trainable_weights: bool = False
    """Whether the set of trainable weights changes during training, which distributed training has to handle."""


@dataclass(frozen=True)
class FrozenPrefix:
    """The modules that run before any trainable weight, with the same outputs as in the base model."""

    modules: Sequence[nn.Module]
    """All modules of the prefix, which stay in eval mode during training."""
    cacheable: Sequence[nn.Module] = ()
    """Modules of the prefix that are called once and in this order, each with the output of the previous one as its first
    argument. Where the head has a single forward pass, the last one's output (a tensor [B, T, D] or [B, D]) is computed
    once for each example and stored on disk, and none of them runs again. Empty: nothing is cached."""


@dataclass(frozen=True)
class LowRankUpdate:
    """A frozen matrix of the base model with the trainable product of two small ones that is added to it."""

    weight: Callable[[], torch.Tensor]
    """Returns the frozen matrix [m, n], dequantized."""
    left: torch.Tensor
    """[m, r], trainable."""
    right: torch.Tensor
    """[r, n], trainable. The layer computes with weight + scale * left @ right."""
    scale: float


@dataclass(frozen=True)
class AdaptContext:
    """The arguments of `Strategy.adapt` besides the model."""

    head: TaskHead
    base: BaseInfo
    seed: int
    batches: Callable[[], Iterator[Batch]]
    """Returns training batches in order, for initializations that depend on data."""
    device: torch.device
    """The device of the training run."""
    precision: str = "32-true"
    """The training run's precision by Lightning's name; `-mixed`: under autocast."""


TRAINED = "trained.safetensors"


class Strategy:
    """A method of adaptation: which weights are trainable, and how. Entry-point group `tlplug.strategies`.

    A subclass sets `contract` and `optimizer_defaults` and implements `adapt`; all else has a default.
    """

    contract: ClassVar[int]
    """The version of the contract that the plugin was written for."""
    optimizer_defaults: ClassVar[OptimizerSettings]
    """The method's learning rate, schedule and so on; every field has to be set."""
    capabilities: ClassVar[Capabilities] = Capabilities()
    extra_data: ClassVar[Mapping[str, Requirement]] = {}
    """Further batches without targets in every step, and whether they are required: `target` has rows of
    data.target_domain, `source` of transfer.source_domain. For example {"target": REQUIRED, "source": OPTIONAL}."""
    saved_folder: ClassVar[str] = "adapter"
    """The folder that `save` writes: `adapter` (requires the base model) or `model` (is complete)."""

    @dataclass
    class Config:
        """The method's own fields: the only home of their defaults."""

    def __init__(self, config: Any = None) -> None:
        self.config = self.Config() if config is None else config

    def why_incompatible(self, head: TaskHead, base: BaseInfo | None = None) -> str | None:
        """Return in one sentence why the strategy does not support this head or base model; None where it does.

        Decide by what a head declares, never by its name, so that the answer is right for unknown heads too. The default
        refuses a head with modules of its own where the strategy trains nothing.

        Args:
            base: None in a first call, before the base model is downloaded; given in a second call, before its weights
                are loaded.
        """
        if not self.capabilities.trains and head.head_modules:
            return "the head adds modules that have to be trained."
        return None

    def load_options(self, head: TaskHead) -> LoadOptions:
        """Return the options for loading the base model's weights."""
        return LoadOptions()

    def adapt(self, model: nn.Module, context: AdaptContext) -> nn.Module:
        """Freeze, wrap or inject modules; the weights with `requires_grad` afterwards are the trainable ones."""
        raise NotImplementedError

    def frozen_prefix(self, model: nn.Module) -> FrozenPrefix | None:
        """Return the modules before any trainable weight, which stay in eval mode and may be computed once, or None."""
        return None

    def training_step(self, model: nn.Module, head: TaskHead, batches: Mapping[str, Batch]) -> StepOutput:
        """Compute the loss of one step, with the method's penalties.

        Args:
            batches: the task's batch as `main`, and a batch without targets for each name of `extra_data` with rows.
        """
        return head.training_step(model, batches["main"])

    def parameter_groups(self, model: nn.Module, settings: OptimizerSettings) -> list[dict[str, Any]]:
        """Group the trainable weights: weight decay on matrices, none on biases and norms (Loshchilov & Hutter 2019)."""
        trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
        groups: list[dict[str, Any]] = [
            {"params": [p for p in trainable if p.ndim > 1], "weight_decay": settings.weight_decay},
            {"params": [p for p in trainable if p.ndim <= 1], "weight_decay": 0.0},
        ]
        return [group for group in groups if group["params"]]

    def optimizer(self, groups: list[dict[str, Any]], settings: OptimizerSettings) -> torch.optim.Optimizer:
        """Return AdamW over `groups` at `settings.learning_rate`."""
        import torch

        # On a GPU leave the choice to torch: fused AdamW cannot be clipped under float16's loss scaling.
        groups = [{**group, "params": list(group["params"])} for group in groups]
        fused = all(p.device.type == "cpu" for group in groups for p in group["params"])
        return torch.optim.AdamW(groups, lr=settings.learning_rate or 0.0, fused=fused or None)

    def low_rank_updates(self, model: nn.Module) -> Mapping[str, LowRankUpdate]:
        """Return the products of small matrices that the method adds to the base model's matrices, by their names.

        The changes of these matrices are then computed from the factors, without merging the model.
        """
        return {}

    def callbacks(self) -> list[Callback]:
        """Return the method's Lightning callbacks, for example for gradual unfreezing."""
        return []

    def save(self, model: nn.Module, folder: Path) -> None:
        """Write the trained weights into `folder`, in the ecosystem's own format where there is one.

        The default writes the trainable tensors by name. Override it for a method that changes the model's structure, or
        whose format other libraries read.
        """
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        trained = {name: p.detach().contiguous() for name, p in model.named_parameters() if p.requires_grad}
        save_file(trained, folder / TRAINED)

    def merge(self, model: nn.Module) -> nn.Module:
        """Return the adapted model, loaded over an unquantized base model, as a model without the strategy's modules.

        The default suits methods that do not change the model's structure. A method that cannot merge sets
        `capabilities.mergeable` to False.
        """
        return model

    def load(self, model: nn.Module, folder: Path, base: BaseInfo) -> nn.Module:
        """Load the saved weights into `model`, a freshly loaded base model with its head.

        Raises:
            RuntimeError: a saved tensor is not in the model, or has another shape there.
        """
        from safetensors.torch import load_file

        saved = load_file(folder / TRAINED)
        unexpected = model.load_state_dict(saved, strict=False).unexpected_keys
        if unexpected:
            raise RuntimeError(
                f"{folder / TRAINED} holds tensors that the model has not: {', '.join(unexpected)}"
            )
        return model
