"""Turn the arguments of `rank` into its settings and a checked job for each base model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from omegaconf import OmegaConf

from tlplug.commands.command_plan import Command, CommandPlan
from tlplug.config.command_options import typed_settings
from tlplug.config.compose import RUN_DIR, Composer
from tlplug.config.job import Job, settings
from tlplug.config.overrides import parse
from tlplug.errors import UsageError
from tlplug.settings import MISSING


@dataclass
class RankSettings:
    """Settings of `python -m tlplug rank`, with keys `rank.*`; on its command line the prefix may be omitted."""

    models: list[str] = MISSING
    """At least two base models: presets by name, hub ids, folders, GGUF files, `pkg://package/folder`."""
    max_rows: int = 1000
    """The largest number of training rows, which are drawn by `data.seed` and are the same for all models."""
    metrics: list[str] = field(default_factory=list)
    """Metrics by which the models are ranked. conf/rank.yaml has the usual ones."""
    fine_tune_top: Any = 0
    """The number of first models that are fine-tuned, with the smallest one, to verify the ranking; or `all`."""
    strategy: str = MISSING
    """The strategy of `fine_tune_top` and of the command that is printed at the end. conf/rank.yaml has the usual one."""

    def __post_init__(self) -> None:
        for problem in (self._models_problem(), self._verify_problem()):
            if problem:
                raise ValueError(problem)
        if self.max_rows < 2:
            raise ValueError(f"max_rows is {self.max_rows}; it is a number of rows, 2 at least")
        if not self.metrics or len(set(self.metrics)) < len(self.metrics):
            raise ValueError(f"metrics is {self.metrics}; it names at least one, and none twice")

    def _models_problem(self) -> str | None:
        if self.models == MISSING or (len(self.models) > 1 and len(set(self.models)) == len(self.models)):
            return None
        return f"models is [{', '.join(self.models)}]; it names two base models at least, and none twice"

    def _verify_problem(self) -> str | None:
        if self.fine_tune_top == "all" or (type(self.fine_tune_top) is int and self.fine_tune_top >= 0):
            return None
        return f"fine_tune_top is {self.fine_tune_top}; it is how many of the first models are fine-tuned, or all"


ANY_MODEL = "custom"
"""The preset without a model source."""
ONE_MODEL = (
    "rank looks at several base models: models=[minilm,./my-model]; a preset holds what goes with one of them"
)
COMMAND = Command(
    name="rank",
    settings=RankSettings,
    item="model",
    items="models",
    fewest=2,
    errors_title="not all of these models can be ranked:",
    not_here={
        "model": ONE_MODEL,
        **{
            f"model.{key}": ONE_MODEL
            for key in ("source", "revision", "sha256", "install", "license", "from_run")
        },
        "metric": "rank has metrics of its own: metrics=[logme,h_score]; metric.knn.k=3 sets a field of one",
        "transfer.baselines": "rank compares base models; a run of the one you take has baselines",
        "logger": "rank keeps its figures in rank.json and report.html; loggers are for a run",
    },
    left_out=frozenset({"model", RUN_DIR, "logger"}),
)
RECORDED = frozenset({"features/before", "classes", "labels", "source_probabilities"})
"""Evidence that is available before training."""


@dataclass(frozen=True)
class RankPlan(CommandPlan):
    """The settings of a ranking, and a job for each base model."""

    command = COMMAND

    settings: RankSettings
    presets: Sequence[str]
    """Names of the model presets; any other name is a model source."""

    def command_for(self, name: str) -> str:
        """Return the command line that adapts one of the models."""
        return self.command_line(self.settings.strategy, model_words(name, self.presets))


def plan(composer: Composer, words: Sequence[str]) -> RankPlan:
    """Build a job for each base model, without resolving the models.

    Raises:
        UsageError: a key or choice does not exist, a metric cannot rank, or the strategy does not fit the head.
    """
    own, shared = COMMAND.split_words(words)
    config = typed_settings(RankSettings, COMMAND.name, own)
    if OmegaConf.is_missing(config, "models"):
        raise UsageError("say which base models: models=[minilm,./my-model,owner/name]")
    chosen = settings(config)
    presets = [name for name in composer.choices("model") if name != ANY_MODEL]
    metrics = f"metric=[{','.join(chosen.metrics)}]"
    every = [f"strategy={chosen.strategy}", metrics, "transfer.baselines=[]", *shared]
    jobs = COMMAND.build_jobs(
        composer, {name: [*every, *model_words(name, presets)] for name in chosen.models}
    )
    ranking = RankPlan(chosen, jobs, shared, presets)
    check_metrics(ranking.first)
    return ranking


def model_words(name: str, presets: Sequence[str]) -> list[str]:
    """Return the arguments that select a model: the preset of that name, else the name as `model.source`."""
    if name in presets:
        return [f"model={name}"]
    return [f"model={ANY_MODEL}", f"model.source={quoted(name)}"]


def quoted(text: str) -> str:
    """Return the text, in quotes if Hydra would read it as another value."""
    try:
        plainly = parse([f"x={text}"])[0]
        if not plainly.is_sweep_override() and plainly.value() == text:
            return text
    except UsageError:
        pass  # Hydra cannot read it without quotes
    return "'" + text.replace("'", r"\'") + "'"


def check_metrics(job: Job) -> None:
    for name, metric in job.metrics.items():
        if more := sorted(set(metric.requires) - RECORDED):
            raise UsageError(
                f"metric {name!r} cannot rank: it needs {', '.join(more)}, which is only there after a training"
            )
        if metric.higher_is_better is None:
            raise UsageError(f"metric {name!r} cannot rank: neither direction of it is better")
