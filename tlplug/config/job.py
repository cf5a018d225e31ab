"""Build the objects of one run from its composed config."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from tlplug.errors import UsageError, no_such
from tlplug.interfaces import REQUIRED, Strategy, TaskHead, TransferMetric
from tlplug.interfaces.registry import Plugin, Registry
from tlplug.settings import (
    LOGGERS,
    CheckpointSettings,
    DataSettings,
    DomainSettings,
    EvidenceSettings,
    ModelSettings,
    OptimizerSettings,
    TrainerSettings,
    TransferSettings,
)

TRIVIAL = "trivial"
"""The baseline that is no strategy: the head's own guess."""
STREAMS = {"target": "data.target_domain", "source": "transfer.source_domain"}
"""What a strategy can have batches of beside the task's -> the key that names the rows."""
AUTO = "auto"
"""What `resume` can be: go on with the run of this very config where there is one."""
OURS = ("name", "preset")
"""Keys of a plugin's node that are not fields of its Config."""


@dataclass(frozen=True)
class Job:
    """Everything that one run needs, typed; nothing heavy is loaded yet."""

    config: dict[str, Any]
    task: str
    strategy_name: str
    strategy: Strategy
    head_name: str
    head: TaskHead
    metrics: dict[str, TransferMetric]
    baselines: dict[str, Strategy | None]
    """None for `trivial`."""
    model: ModelSettings
    data: DataSettings
    optimizer: OptimizerSettings
    trainer: TrainerSettings
    transfer: TransferSettings
    evidence: EvidenceSettings
    checkpoint: CheckpointSettings
    loggers: list[Any]
    """CsvSettings, WandbSettings."""
    seed: int
    run_dir: str | None
    resume: str | None
    plugins: list[Plugin]
    typed: Sequence[str] = ()
    """The words that the run was asked for with."""


def build(config: DictConfig, typed: Sequence[str] = ()) -> Job:
    """Build the job of a config, and check that its strategies go with its head.

    Args:
        typed: the words that it was composed of.

    Raises:
        UsageError: a required key is not set, a value is of no use to its plugin,
            or the strategy cannot work with the head.
    """
    job = job_of(config, typed)
    for name, strategy in {job.strategy_name: job.strategy, **job.baselines}.items():
        check_fit(name, strategy, job)
    return job


def job_of(config: DictConfig, typed: Sequence[str] = ()) -> Job:
    """Return an object for every plugin that the config names, and typed settings for the rest."""
    resolved = plain(config)
    if config.resume not in (None, AUTO):
        raise UsageError(f"resume is {config.resume!r}; it is {AUTO}, or null")
    expect_nodes(config)
    registry = Registry()
    used: list[Plugin] = []

    def plugin(kind: str, node: DictConfig) -> Any:
        used.append(registry.find(kind, node.name))
        return instance(used[-1], node)

    return Job(
        config=resolved,
        task=config.task,
        strategy_name=config.strategy.preset,
        strategy=plugin("strategy", config.strategy),
        head_name=config.head.name,
        head=plugin("head", config.head),
        metrics={name: plugin("metric", node) for name, node in config.metric.items()},
        baselines={name: baseline(name, registry, used) for name in config.transfer.baselines},
        model=settings(config.model),
        data=settings(config.data),
        optimizer=settings(config.optimizer),
        trainer=settings(config.trainer),
        transfer=settings(config.transfer),
        evidence=settings(config.evidence),
        checkpoint=settings(config.checkpoint),
        loggers=[settings(on_schema(LOGGERS[name], node)) for name, node in config.logger.items()],
        seed=config.seed,
        run_dir=config.run_dir,
        resume=config.resume,
        plugins=used,
        typed=tuple(typed),
    )


def expect_nodes(config: DictConfig) -> None:
    """Check that no value was given to a node that has fields, such as `logger.csv=0` or `metric.cka=null`."""
    several = {f"{key}.{name}": node for key in ("metric", "logger") for name, node in config[key].items()}
    for key, node in {"strategy": config.strategy, "head": config.head, **several}.items():
        if not isinstance(node, DictConfig):
            raise UsageError(f"{key} is {node!r}, but it has fields: set {key}.<field>=...")


def instance(plugin: Plugin, node: DictConfig) -> Any:
    """Return the plugin's object, with its Config built from `node`."""
    cls: Any = plugin.load()
    try:
        return cls(OmegaConf.to_object(on_schema(cls.Config, node)))
    except (OmegaConfBaseException, ValueError, TypeError) as error:
        raise UsageError(f"{plugin.kind} {plugin.name!r}: {told(error)}") from error


def on_schema(cls: type, node: DictConfig) -> DictConfig:
    """Return the node's fields on the schema of `cls`, so that a config from a file has types again."""
    fields = OmegaConf.masked_copy(node, [str(key) for key in node if key not in OURS])
    return OmegaConf.merge(OmegaConf.structured(cls), fields)  # type: ignore[return-value]


def told(error: Exception) -> str:
    """OmegaConf goes on with lines about itself; a plugin says what it has to say."""
    if not isinstance(error, OmegaConfBaseException):
        return str(error)
    key = f"{error.full_key}: " if error.full_key else ""
    return key + str(error).splitlines()[0]


def baseline(name: str, registry: Registry, used: list[Plugin]) -> Strategy | None:
    if name == TRIVIAL:
        return None
    try:
        plugin = registry.find("strategy", name)
    except UsageError as error:
        raise UsageError(f"transfer.baselines: {error} Also: {TRIVIAL}.") from error
    used.append(plugin)
    return plugin.load()()  # type: ignore[no-any-return]


def check_fit(name: str, strategy: Strategy | None, job: Job) -> None:
    """Check that the strategy is compatible with the head, and that the further rows that it needs are set."""
    if strategy is None:
        return
    hint = " Leave it out of transfer.baselines." if name in job.baselines else ""
    if reason := strategy.why_incompatible(job.head):
        raise UsageError(f"strategy {name!r} does not work with head {job.head_name!r}: {reason}{hint}")
    for extra, need in strategy.extra_data.items():
        if extra not in STREAMS:
            raise UsageError(f"strategy {name!r}: extra_data: {no_such('extra data', extra, STREAMS)}")
        if need is REQUIRED and domain_of(extra, job).path is None:
            raise UsageError(
                f"strategy {name!r} learns from unlabelled rows of another domain: set {STREAMS[extra]}=... to a file, "
                f"a folder or a data set with the columns that head {job.head_name!r} reads.{hint}"
            )


def domain_of(stream: str, job: Job) -> DomainSettings:
    """Return the settings of a stream's rows."""
    return {"target": job.data.target_domain, "source": job.transfer.source_domain}[stream]


def settings(node: DictConfig) -> Any:
    try:
        return OmegaConf.to_object(node)
    except MissingMandatoryValue as error:
        raise UsageError(f"{error.full_key} has no value: set {error.full_key}=...") from error
    except (OmegaConfBaseException, ValueError) as error:
        raise UsageError(str(error).splitlines()[0]) from error


def plain(node: DictConfig) -> dict[str, Any]:
    """Return the node as JSON types, with enums by name.

    Raises:
        UsageError: an interpolation leads nowhere, or to a value of another type.
    """
    try:
        return OmegaConf.to_container(node, resolve=True, enum_to_str=True)  # type: ignore[return-value]
    except OmegaConfBaseException as error:
        raise UsageError(f"{error.full_key}: {str(error).splitlines()[0]}") from error
