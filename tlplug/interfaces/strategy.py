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
    """Whether a strategy needs the further rows that it learns from."""

    REQUIRED = "required"
    """The user has to name the data; the run is refused without."""
    OPTIONAL = "optional"
    """The strategy has the rows where the user names the data, and works without."""


REQUIRED, OPTIONAL = Requirement.REQUIRED, Requirement.OPTIONAL


@dataclass(frozen=True)
class Capabilities:
    """What a strategy can do; asked before anything is loaded."""

    trains: bool = True
    """False: nothing moves, which is of use only to a head that adds no modules of its own."""
    mergeable: bool = True
    """Whether `merge` gives a transformers model that stands alone."""
    changes_trainable_weights: bool = False
    """What moves changes in the course of a training; several processes have to be told."""


@dataclass(frozen=True)
class FrozenPrefix:
    """What runs before anything that moves, and gives what it gave in the base model."""

    modules: Sequence[nn.Module]
    """All of it: kept in eval mode while training."""
    cacheable: Sequence[nn.Module] = ()
    """Modules of it that are called once and one after another, each with the output of the one before as its first
    argument. Where the head calls the model in one pass, the last one's output (a tensor [B, T, D] or [B, D]) is
    computed once for each example and kept on disk, and none of them runs again. Empty: nothing is kept."""


@dataclass(frozen=True)
class LowRankUpdate:
    """A matrix of the base model that stays as it is while a product of two small ones is added to it."""

    weight: Callable[[], torch.Tensor]
    """Gives what the product is added to, [m, n]; a quantized one is unpacked."""
    left: torch.Tensor
    """[m, r]; moves."""
    right: torch.Tensor
    """[r, n]; moves. The layer computes with weight + scale * left @ right."""
    scale: float


@dataclass(frozen=True)
class AdaptContext:
    """What `Strategy.adapt` may look at beside the model."""

    head: TaskHead
    base: BaseInfo
    seed: int
    batches: Callable[[], Iterator[Batch]]
    """Training batches, in order, for initialisations that look at data."""
    device: torch.device
    """Where the model is going to be trained."""
    precision: str = "32-true"
    """In which number format it is going to compute, as Lightning names it; `-mixed`: under autocast."""


TRAINED = "trained.safetensors"


class Strategy:
    """Which weights move, and how. Entry-point group `tlplug.strategies`.

    A subclass sets `contract` and `optimizer_defaults` and implements `adapt`; all else has a default.
    """

    contract: ClassVar[int]
    """The contract's version that the plugin was written for."""
    optimizer_defaults: ClassVar[OptimizerSettings]
    """Every field set: the rate and schedule that suit the method."""
    capabilities: ClassVar[Capabilities] = Capabilities()
    extra_data: ClassVar[Mapping[str, Requirement]] = {}
    """Further batches, without targets, in every step -> whether it needs them: `target` are rows of data.target_domain,
    `source` of transfer.source_domain. Such as {"target": REQUIRED, "source": OPTIONAL}."""
    saved_folder: ClassVar[str] = "adapter"
    """Name of the folder that `save` writes: `adapter` (goes over the base model) or `model` (stands alone)."""

    @dataclass
    class Config:
        """The method's own fields: the only home of their defaults."""

    def __init__(self, config: Any = None) -> None:
        self.config = self.Config() if config is None else config

    def why_incompatible(self, head: TaskHead, base: BaseInfo | None = None) -> str | None:
        """Return why it cannot adapt a base model to this head, in one sentence; None where it can.

        A head is known by what it declares, never by its name: so a head that nobody had heard of is refused, or not,
        for what it is. The default refuses a head with modules of its own where nothing is trained.

        Args:
            base: None before the base model is found: what depends on the head alone is known by then, and costs no
                download. Asked again with the base model; no weights are loaded yet.
        """
        if not self.capabilities.trains and head.head_modules:
            return "the head adds modules that have to be trained."
        return None

    def load_options(self, head: TaskHead) -> LoadOptions:
        """How the base model's weights are loaded for this method."""
        return LoadOptions()

    def adapt(self, model: nn.Module, context: AdaptContext) -> nn.Module:
        """Freeze, wrap or inject; what has `requires_grad` afterwards is what moves."""
        raise NotImplementedError

    def frozen_prefix(self, model: nn.Module) -> FrozenPrefix | None:
        """The part that runs before anything that moves: in eval mode while training, and computed once where it can."""
        return None

    def training_step(self, model: nn.Module, head: TaskHead, batches: Mapping[str, Batch]) -> StepOutput:
        """The loss of one step; penalties go here.

        Args:
            batches: `main`, the task's batch, and one without targets for each name of `extra_data` that there are rows of.
        """
        return head.training_step(model, batches["main"])

    def parameter_groups(self, model: nn.Module, settings: OptimizerSettings) -> list[dict[str, Any]]:
        """What moves, with weight decay on matrices and none on biases and norms (Loshchilov & Hutter 2019)."""
        moving = [parameter for parameter in model.parameters() if parameter.requires_grad]
        groups: list[dict[str, Any]] = [
            {"params": [p for p in moving if p.ndim > 1], "weight_decay": settings.weight_decay},
            {"params": [p for p in moving if p.ndim <= 1], "weight_decay": 0.0},
        ]
        return [group for group in groups if group["params"]]

    def optimizer(self, groups: list[dict[str, Any]], settings: OptimizerSettings) -> torch.optim.Optimizer:
        """AdamW over `groups` at `settings.learning_rate`."""
        import torch

        # On a GPU torch's own choice: fused there is not open to clipping with float16's loss scale.
        groups = [{**group, "params": list(group["params"])} for group in groups]
        fused = all(p.device.type == "cpu" for group in groups for p in group["params"])
        return torch.optim.AdamW(groups, lr=settings.learning_rate or 0.0, fused=fused or None)

    def low_rank_updates(self, model: nn.Module) -> Mapping[str, LowRankUpdate]:
        """Where the method adds products of small matrices to the base model's: by the name that the matrix has there.

        What the method did to those matrices is told from the factors then, without merging the model.
        """
        return {}

    def callbacks(self) -> list[Callback]:
        """Lightning callbacks of the method, such as staged thawing."""
        return []

    def save(self, model: nn.Module, folder: Path) -> None:
        """Write what was trained into `folder`, in the ecosystem's own format where there is one.

        The default writes the tensors that moved, by name. A method that changes the model's structure,
        or whose format others read, brings its own.
        """
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        moved = {name: p.detach().contiguous() for name, p in model.named_parameters() if p.requires_grad}
        save_file(moved, folder / TRAINED)

    def merge(self, model: nn.Module) -> nn.Module:
        """The adapted model, loaded over an unquantized base model, as one that stands alone.

        The default is for methods that leave the model's structure as it was; those that cannot say so in
        `capabilities.mergeable`.
        """
        return model

    def load(self, model: nn.Module, folder: Path, base: BaseInfo) -> nn.Module:
        """Put what `save` wrote over `model`, a freshly loaded base model with its head.

        Raises:
            RuntimeError: a saved tensor has no place in the model, or another shape.
        """
        from safetensors.torch import load_file

        saved = load_file(folder / TRAINED)
        strays = model.load_state_dict(saved, strict=False).unexpected_keys
        if strays:
            raise RuntimeError(
                f"{folder / TRAINED} holds tensors that the model has not: {', '.join(strays)}"
            )
        return model
