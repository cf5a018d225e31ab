"""Turn the words of `rank` into its settings and a checked job for each base model."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from hydra.core.override_parser.types import Override
from omegaconf import OmegaConf

from tlplug.config.choices import GROUPS
from tlplug.config.command_options import typed_settings
from tlplug.config.compose import ROOT_KEYS, RUN_DIR, Composer, normalised, parse
from tlplug.config.job import Job, build, plain, settings
from tlplug.config.keys import group_of
from tlplug.errors import UsageError, no_such
from tlplug.settings import MISSING


@dataclass
class RankSettings:
    """`rank.*`: what `python -m tlplug rank` looks at; there, the names alone are short for these keys."""

    models: list[str] = MISSING
    """Base models, two at least: presets by name, hub ids, folders, GGUF files, `pkg://package/folder`."""
    max_rows: int = 1000
    """At most so many training rows, drawn by `data.seed`, the same for all models."""
    metrics: list[str] = field(default_factory=list)
    """What they are ranked by. conf/rank.yaml has the usual ones."""
    fine_tune_top: Any = 0
    """Fine-tune so many of the first, and the smallest, to tell how good the ranking was; or `all`."""
    strategy: str = MISSING
    """What `fine_tune_top` trains with, and what the command that is named at the end does. conf/rank.yaml has the usual
    one."""

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


NODE = "rank"
OWN = [field.name for field in fields(RankSettings)]
LISTS = ("models", "metrics")
ANY_MODEL = "custom"
"""The preset that names no model."""
MODELS = (
    "rank looks at several base models: models=[minilm,./my-model]; a preset holds what goes with one of them"
)
METRICS = "rank has metrics of its own: metrics=[logme,h_score]; metric.knn.k=3 sets a field of one"
ELSEWISE = {
    "model": MODELS,
    **{f"model.{key}": MODELS for key in ("source", "revision", "sha256", "install", "license", "from_run")},
    "metric": METRICS,
    "transfer.baselines": "rank compares base models; a run of the one you take has baselines",
    "logger": "rank keeps its figures in rank.json; loggers are for a run",
}
"""Keys of a run that have no meaning here -> what to say in their place."""
RECORDED = frozenset({"features/before", "classes", "labels", "source_probabilities"})
"""The evidence that there is before anything is trained."""


@dataclass(frozen=True)
class RankPlan:
    """What is going to be ranked."""

    settings: RankSettings
    jobs: Mapping[str, Job]
    """By base model, as it was typed."""
    shared: Sequence[str]
    """What holds for all of them, as it was typed."""
    presets: Sequence[str]
    """Names that stand for a preset; any other one is a source."""

    @property
    def first(self) -> Job:
        """The job of the first model; what is not the model's own is the same in all of them."""
        return next(iter(self.jobs.values()))

    def command(self, name: str) -> str:
        """The command line that adapts one of the models."""
        left_out = (RUN_DIR, "metric")
        given = [
            f"+strategy={self.settings.strategy}",
            *(w for w in self.shared if normalised(w).partition("=")[0].partition(".")[0] not in left_out),
            *model_words(name, self.presets),
        ]
        return "python -m tlplug " + " ".join(map(shlex.quote, given))

    def config(self) -> dict[str, Any]:
        """For config.yaml: this ranking's settings, each model's node, and what they share."""
        elsewise = {"model", RUN_DIR, "logger"}
        return {
            NODE: plain(OmegaConf.structured(self.settings)),
            "models": {name: job.config["model"] for name, job in self.jobs.items()},
            **{key: node for key, node in self.first.config.items() if key not in elsewise},
        }


def plan(composer: Composer, words: Sequence[str]) -> RankPlan:
    """A job for each base model; none of them has been looked for yet.

    Raises:
        UsageError: a key or choice is not there, a metric cannot rank, or the strategy cannot work with the head.
    """
    own, shared = sorted_out(words)
    chosen = rank_settings(own)
    presets = [name for name in composer.choices("model") if name != ANY_MODEL]
    jobs: dict[str, Job] = {}
    wrong: dict[str, str] = {}
    for name in chosen.models:
        line = [
            *(f"strategy={chosen.strategy}", f"metric=[{','.join(chosen.metrics)}]", "transfer.baselines=[]"),
            *(*shared, *model_words(name, presets)),
        ]
        try:
            jobs[name] = build(composer.compose(line))
        except UsageError as error:
            wrong[name] = str(error)
    refuse(wrong, chosen.models)
    found = RankPlan(chosen, jobs, shared, presets)
    check_metrics(found.first)
    return found


def sorted_out(words: Sequence[str]) -> tuple[list[Override], list[str]]:
    """The words that are rank's own, and those of a run.

    Raises:
        UsageError: a key that there is not, or that has no meaning in this command.
    """
    own: list[Override] = []
    shared: list[str] = []
    for word in words:
        found = parse([normalised(word)])[0]
        key = group_of(found)
        if told := ELSEWISE.get(key):
            raise UsageError(f"'{word}': {told}")
        if key.removeprefix(f"{NODE}.") in OWN:
            own.append(found)
        elif key.partition(".")[0] in (*GROUPS, *ROOT_KEYS):
            shared.append(word)
        else:
            first = key.removeprefix(f"{NODE}.").partition(".")[0]
            told = no_such("key or group", first, {*OWN, *GROUPS, *ROOT_KEYS} - {*ELSEWISE})
            raise UsageError(f"'{word}': {told}")
    return own, shared


def rank_settings(overrides: Sequence[Override]) -> RankSettings:
    """The settings, typed and checked."""
    config = typed_settings(RankSettings, NODE, overrides, LISTS, LISTS)
    if OmegaConf.is_missing(config, "models"):
        raise UsageError("say which base models: models=[minilm,./my-model,owner/name]")
    return settings(config)  # type: ignore[no-any-return]


def model_words(name: str, presets: Sequence[str]) -> list[str]:
    """A name of the group `model` is that preset; anything else, `./minilm` among it, is the source of a model."""
    if name in presets:
        return [f"model={name}"]
    return [f"model={ANY_MODEL}", f"model.source={quoted(name)}"]


def quoted(text: str) -> str:
    """In quotes where Hydra would read something else."""
    try:
        plainly = parse([f"x={text}"])[0]
        if not plainly.is_sweep_override() and plainly.value() == text:
            return text
    except UsageError:
        pass  # not readable as it is: it needs the quotes
    return "'" + text.replace("'", r"\'") + "'"


def check_metrics(job: Job) -> None:
    for name, metric in job.metrics.items():
        if more := sorted(set(metric.requires) - RECORDED):
            raise UsageError(
                f"metric {name!r} cannot rank: it needs {', '.join(more)}, which is only there after a training"
            )
        if metric.higher_is_better is None:
            raise UsageError(f"metric {name!r} cannot rank: neither direction of it is better")


def refuse(wrong: Mapping[str, str], models: Sequence[str]) -> None:
    """One error of all that were found; what is wrong with every model is said once, without a name."""
    if not wrong:
        return
    if len(wrong) == len(models) and len(set(wrong.values())) == 1:
        raise UsageError(next(iter(wrong.values())))
    lines = [f"  {name}: {told}" for name, told in wrong.items()]
    left = [name for name in models if name not in wrong]
    if len(left) > 1:
        lines.append(f"The others: models=[{','.join(left)}]")
    raise UsageError("\n".join(["not all of these models can be ranked:", *lines]))
