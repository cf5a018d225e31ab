"""Define the settings of a run with their defaults; those of a plugin are in its own Config."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, Optional

MISSING: Any = "???"


@dataclass
class ModelSettings:
    """`model.*`: which base model, and how it is loaded."""

    source: str = MISSING
    """Hub id, local folder, GGUF file, or `pkg://package/folder` inside an installed package."""
    revision: Optional[str] = None
    """Commit, tag or branch of a hub id."""
    sha256: Optional[str] = None
    """Expected digest of model.safetensors or of the GGUF file; a different file is an error."""
    install: Optional[str] = None
    """The command that installs the source, named in the error if it is missing."""
    license: Optional[str] = None
    """Licence of the base model, for the model card of an export."""
    attn_implementation: Optional[str] = "auto"
    """transformers' attention implementation. auto: flash_attention_2 if it is installed and the GPU and the weights
    support it, else as null. null: transformers' own choice, which is sdpa if the model supports it."""
    dtype: str = "auto"
    """float32, bfloat16 or float16 for the frozen weights; auto: as published on a GPU, else float32."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, about a third more time."""
    fast_dropout: bool = True
    """On a CPU, draw dropout masks as bytes, which is faster; the rate is exact to 1/512."""
    compile: bool = False
    """Compile the model with torch.compile before training."""
    from_run: Optional[str] = None
    """Run directory whose adaptation is merged into the base model first."""
    trust_remote_code: bool = False
    """Run Python code that comes with the base model."""


@dataclass
class SplitSettings:
    """`data.splits.*`: a split's name, a file, a pattern of files, or a fraction of the training split."""

    train: Any = "train"
    validation: Any = "validation"
    test: Any = "test"


@dataclass
class LimitSettings:
    """`data.limit.*`: at most so many rows, drawn by `data.seed`."""

    train: Optional[int] = None
    validation: Optional[int] = None
    test: Optional[int] = None


@dataclass
class DomainLimitSettings:
    """`data.target_domain.limit.*`, `transfer.source_domain.limit.*`: at most so many rows, drawn by `data.seed`."""

    train: Optional[int] = None
    test: Optional[int] = None


@dataclass
class DomainSettings:
    """`data.target_domain.*`, `transfer.source_domain.*`: rows of another domain, read as `data.path` is."""

    path: Optional[str] = None
    """`data.target_domain=PATH` is short for `data.target_domain.path=PATH`, and so is `transfer.source_domain=PATH`."""
    subset: Optional[str] = None
    """Name of a hub data set's configuration."""
    revision: Optional[str] = None
    columns: dict[str, str] = field(default_factory=dict)
    """The head's column -> this data's column. A column that is not listed has the same name in both."""
    train: str = "train"
    """The split, or file, whose rows are read without their targets."""
    test: Any = "test"
    """The split, file or fraction of `train` that the model is tested on."""
    limit: DomainLimitSettings = field(default_factory=DomainLimitSettings)


BATCHING = ("tokens", "rows")


@dataclass
class DataSettings:
    """`data.*`: the rows of a task and how they become batches."""

    path: str = MISSING
    """Hub data set id, a file, a pattern of files, a folder of split files, or `pkg://package/folder`."""
    subset: Optional[str] = None
    """Name of a hub data set's configuration."""
    revision: Optional[str] = None
    streaming: bool = False
    """Read a hub data set as a stream, without downloading all of it; needs data.limit.* for each split that is read."""
    columns: dict[str, str] = field(default_factory=dict)
    """The head's column -> the data's column."""
    splits: SplitSettings = field(default_factory=SplitSettings)
    limit: LimitSettings = field(default_factory=LimitSettings)
    seed: int = 0
    """Seed of fractions and limits. It is not the run's seed, so that runs with other seeds have the same rows."""
    batch_size: int = 32
    """Rows of a training batch in each process, on average with `batching=tokens`."""
    batching: str = "tokens"
    """`tokens`: training batches of about the same number of tokens, padding included, and as many batches as there would
    be of `batch_size` rows; `rows`: batches of `batch_size` rows."""
    tokens_per_batch: Optional[int] = None
    """Tokens of a batch in each process, about, in place of `batch_size`, in evaluation too; null: as many as
    `batch_size` rows have."""
    num_workers: int = 0
    """Worker processes that prepare batches ahead, for each loader of each process; 0: none. The batches are the same."""
    max_length: Optional[int] = None
    """Longer inputs are truncated to this many tokens; null: as many as the base model takes."""
    target_domain: DomainSettings = field(default_factory=DomainSettings)
    """Another domain. Strategies for domain adaptation see its training rows without labels; the run is tested on it."""

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ValueError(f"data.batch_size is {self.batch_size}; it is a number of rows from 1 on")
        if self.num_workers < 0:
            raise ValueError(f"data.num_workers is {self.num_workers}; it is a number of processes from 0 on")
        if self.batching not in BATCHING:
            raise ValueError(f"data.batching is {self.batching!r}; it is one of: {', '.join(BATCHING)}")
        tokens = self.tokens_per_batch
        if tokens is not None and tokens < 1:
            raise ValueError(
                f"data.tokens_per_batch is {tokens}; it is a number of tokens from 1 on, or null"
            )
        if tokens is not None and self.batching != "tokens":
            raise ValueError(
                f"data.tokens_per_batch={tokens} needs data.batching=tokens, but that is {self.batching}; batches of "
                "rows have their size from data.batch_size"
            )


@dataclass
class OptimizerSettings:
    """`optimizer.*`: null is what suits the strategy (`Strategy.optimizer_defaults`)."""

    learning_rate: Optional[float] = None
    weight_decay: Optional[float] = None
    schedule: Optional[str] = None
    """Name of a transformers schedule: linear, cosine, constant, ..."""
    warmup: Optional[float] = None
    """Share of all steps during which the learning rate rises from zero."""

    def over(self, defaults: OptimizerSettings) -> OptimizerSettings:
        """These settings, with `defaults` where they are null."""
        merged = {
            name: value if value is not None else getattr(defaults, name)
            for name, value in vars(self).items()
        }
        return OptimizerSettings(**merged)


@dataclass
class TrainerSettings:
    """`trainer.*`: arguments of Lightning's Trainer, by its names; a test holds them to its signature."""

    accelerator: str = "auto"
    strategy: str = "auto"
    devices: Any = "auto"
    num_nodes: int = 1
    precision: str = "auto"
    """auto: bf16-mixed on a GPU or CPU that computes in bfloat16, and over 16-bit weights; else 32-true. Trainable weights
    are float32 in any case."""
    max_epochs: int = 3
    min_epochs: Optional[int] = None
    max_steps: int = -1
    min_steps: Optional[int] = None
    max_time: Any = None
    limit_train_batches: Any = None
    limit_val_batches: Any = None
    limit_test_batches: Any = None
    overfit_batches: float = 0.0
    val_check_interval: Any = None
    check_val_every_n_epoch: Optional[int] = 1
    log_every_n_steps: int = 10
    accumulate_grad_batches: int = 1
    gradient_clip_val: Optional[float] = 1.0
    gradient_clip_algorithm: Optional[str] = None
    deterministic: Any = None
    benchmark: Optional[bool] = None
    profiler: Optional[str] = None
    detect_anomaly: bool = False
    sync_batchnorm: bool = False

    def __post_init__(self) -> None:
        for name in ("limit_train_batches", "limit_val_batches", "limit_test_batches"):
            value = getattr(self, name)
            if not isinstance(value, int | float | None):
                raise ValueError(f"trainer.{name} is {value!r}; it is a number of batches or a share of them")


@dataclass
class TransferSettings:
    """`transfer.*`: what the run is compared with."""

    baselines: list[str] = field(default_factory=list)
    """Strategies by name, trained like the run itself; `trivial` needs no model. conf/config.yaml has the usual ones."""
    source_domain: DomainSettings = field(default_factory=DomainSettings)
    """Unlabelled rows of what the base model was pretrained on, or of another domain that it must not forget."""


@dataclass
class EvidenceSettings:
    """`evidence.*`: what a run records beside its predictions."""

    max_rows: int = 512
    """Rows of the validation split, and of each further domain, of which features are recorded, at most; 0: none."""
    weight_changes: bool = True
    """Record how much each weight matrix changed; this needs a temporary copy of the trainable weights on disk."""

    def __post_init__(self) -> None:
        if self.max_rows < 0:
            raise ValueError(f"evidence.max_rows is {self.max_rows}; it is a number of rows, or 0 for none")


@dataclass
class CheckpointSettings:
    """`checkpoint.*`: what an interrupted run resumes from (`python -m tlplug resume RUN`)."""

    every_steps: Optional[int] = None
    """Optimizer steps between two checkpoints; null: time alone decides."""
    every_minutes: Optional[float] = 10.0
    """Minutes between two checkpoints; null: steps alone decide."""
    keep_last: int = 0
    """How many of the latest checkpoints are kept; 0: one while the run trains, none afterwards."""
    use_best: bool = False
    """Test and save the weights with the best validation score, in place of the last ones."""

    def __post_init__(self) -> None:
        if self.every_steps is not None and self.every_steps < 1:
            raise ValueError(
                f"checkpoint.every_steps is {self.every_steps}; it is a number from 1 on, or null"
            )
        if self.every_minutes is not None and self.every_minutes < 0:
            raise ValueError(
                f"checkpoint.every_minutes is {self.every_minutes}; it is a number of minutes, or null"
            )
        if self.keep_last < 0:
            raise ValueError(f"checkpoint.keep_last is {self.keep_last}; it is a number of checkpoints, or 0")

    def of_baseline(self) -> CheckpointSettings:
        """Return the settings of a baseline: it keeps no checkpoint, and its last weights are tested."""
        return CheckpointSettings(self.every_steps, self.every_minutes)


@dataclass
class NoSettings:
    """No log at all."""


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
    """null: MLFLOW_TRACKING_URI, else MLflow's local store in the working directory, which `mlflow ui` shows."""
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
    """null: the name of the sweep, if the run is part of one."""
    tags: list[str] = field(default_factory=list)
    """Tags beside the strategy and the task."""
    offline: bool = False
    log_model: bool = False
    """Upload the trained weights as an artifact."""
    init_timeout: float = 20.0
    """Seconds to wait for the service at the start; then the run is written offline."""
    finish_timeout: float = 300.0
    """Seconds to wait at the end for uploads; `wandb sync` sends what is left."""


LOGGERS: dict[str, type] = {
    "csv": CsvSettings,
    "mlflow": MlflowSettings,
    "none": NoSettings,
    "tensorboard": TensorboardSettings,
    "wandb": WandbSettings,
}


def expect_package(name: str) -> None:
    """Raise an error where the package that a logger needs is not installed; its extra has the same name.

    Raises:
        ValueError: it is not installed.
    """
    if find_spec(name) is None:
        raise ValueError(f"logger={name} needs the package {name}: pip install 'tlplug[{name}]'")


CLUSTERS = ("slurm", "local")


@dataclass
class LocalSettings:
    """Run jobs on this machine, `sweep.max_parallel` at a time."""


@dataclass
class SlurmSettings:
    """Run jobs on a Slurm cluster, by submitit; null is the cluster's own default."""

    cluster: str = "slurm"
    """`slurm`; `local`: the same on this machine without Slurm, to try it."""
    partition: Optional[str] = None
    account: Optional[str] = None
    qos: Optional[str] = None
    nodes: int = 1
    """Nodes of one job; the same as `trainer.num_nodes`."""
    tasks_per_node: int = 1
    """Processes of one job on a node, one for each device; the same as `trainer.devices`."""
    gpus_per_node: Optional[int] = None
    cpus_per_task: Optional[int] = None
    mem_gb: Optional[float] = None
    """Memory of one job on a node."""
    timeout_min: int = 1440
    """Time limit of a job in minutes. A job that reaches it writes a checkpoint and is queued again."""
    max_num_timeout: int = 3
    """How often a job that reached its time limit is queued again."""
    signal_delay_s: int = 120
    """Seconds before the time limit at which a job gets a signal to write its checkpoint."""
    array_parallelism: int = 256
    """Jobs of one array that run at the same time."""
    setup: list[str] = field(default_factory=list)
    """Shell commands to run before a job, such as `module load cuda`."""
    additional_parameters: dict[str, Any] = field(default_factory=dict)
    """Further options of sbatch by their long names: `launcher.additional_parameters={constraint:a100}`."""

    def __post_init__(self) -> None:
        if self.cluster not in CLUSTERS:
            raise ValueError(f"launcher.cluster is {self.cluster!r}; it is one of: {', '.join(CLUSTERS)}")
        if self.cluster == "local" and self.nodes * self.tasks_per_node > 1:
            raise ValueError(
                "launcher.cluster=local has one node and one task, for there is no srun to tell them apart"
            )
        least = {"nodes": 1, "tasks_per_node": 1, "timeout_min": 1, "max_num_timeout": 0, "signal_delay_s": 1}
        for name, bound in {**least, "array_parallelism": 1}.items():
            if getattr(self, name) < bound:
                raise ValueError(f"launcher.{name} is {getattr(self, name)}; it is a number from {bound} on")


@dataclass
class RaySettings:
    """Run jobs as tasks of a Ray cluster."""

    address: Optional[str] = None
    """The cluster's address: `auto`, or `host:port`; null: start one on this machine for the sweep."""
    cpus: float = 1.0
    """CPUs of one job."""
    gpus: float = 0.0
    """GPUs of one job; it sees no others."""
    retries: int = 3
    """How often a job whose node was lost is resumed on another one."""

    def __post_init__(self) -> None:
        for name in ("cpus", "gpus", "retries"):
            if getattr(self, name) < 0:
                raise ValueError(f"launcher.{name} is {getattr(self, name)}; it is a number from 0 on")


SAMPLERS = ("tpe", "random")
PRUNERS = ("median", "none")


@dataclass
class SweepSettings:
    """Run every combination of the given values."""

    max_parallel: int = 1
    """How many jobs run at the same time, or wait in a cluster's queue."""
    resume: bool = False
    """Continue the sweep of the same command: run the jobs that are missing."""

    def __post_init__(self) -> None:
        if self.max_parallel < 1:
            raise ValueError(f"sweep.max_parallel is {self.max_parallel}; it is a number from 1 on")


@dataclass
class OptunaSettings(SweepSettings):
    """Run values that Optuna proposes from the validation scores of earlier jobs."""

    n_trials: int = 20
    """Number of jobs, including pruned and failed ones."""
    seed: int = 0
    """Seed of the sampler; not the run's seed."""
    sampler: str = "tpe"
    """`tpe`: propose values near those that scored well; `random`: any."""
    n_startup_trials: int = 10
    """Random trials before `tpe` learns from them, and before the pruner compares."""
    pruner: str = "median"
    """`median`: stop a trial that is below the median of earlier trials at the same step; `none`."""
    storage: Optional[str] = None
    """URL of the study's database; null: optuna.db in the sweep's folder."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, options in {"sampler": SAMPLERS, "pruner": PRUNERS}.items():
            if getattr(self, name) not in options:
                raise ValueError(
                    f"sweep.{name} is {getattr(self, name)!r}; it is one of: {', '.join(options)}"
                )
        for name in ("n_trials", "n_startup_trials"):
            if getattr(self, name) < 1:
                raise ValueError(f"sweep.{name} is {getattr(self, name)}; it is a number from 1 on")


SWEEPS: dict[str, type] = {"grid": SweepSettings, "optuna": OptunaSettings}
LAUNCHERS: dict[str, type] = {"local": LocalSettings, "slurm": SlurmSettings, "ray": RaySettings}


@dataclass
class RootConfig:
    """Plugins' nodes (`strategy`, `head`, `metric.<name>`) are typed by the plugins' own Configs."""

    task: Any = None
    """The task preset's name; set from the group's choice."""
    strategy: Any = None
    head: Any = None
    model: ModelSettings = field(default_factory=ModelSettings)
    data: DataSettings = field(default_factory=DataSettings)
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    trainer: TrainerSettings = field(default_factory=TrainerSettings)
    transfer: TransferSettings = field(default_factory=TransferSettings)
    evidence: EvidenceSettings = field(default_factory=EvidenceSettings)
    checkpoint: CheckpointSettings = field(default_factory=CheckpointSettings)
    metric: dict[str, Any] = field(default_factory=dict)
    logger: dict[str, Any] = field(default_factory=dict)
    seed: int = 42
    """Seed of new weights, the order of rows and dropout."""
    run_dir: Optional[str] = None
    """The run directory; null: outputs/<task>/<strategy>/<time>-<id>."""
    resume: Optional[str] = None
    """`auto`: resume the unfinished run of the same config if there is one, else start a new run."""


OPEN = ("data.columns.", "data.target_domain.columns.", "transfer.source_domain.columns.")
"""Nodes below which a user may add keys: the head checks them, not the schema."""
