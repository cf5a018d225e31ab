"""`sweep=optuna`: each job's values are proposed by Optuna from the validation scores of those before."""

from __future__ import annotations

import json
import math
import shlex
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

from tlplug.commands.sweep.protocols import LEFT_CHECKPOINT, NotWritten, Search, Sweep, SweepJob
from tlplug.commands.sweep.search.space import Space, space_of
from tlplug.config.compose import Composer
from tlplug.config.job import build
from tlplug.errors import UsageError
from tlplug.reports.formatting import figure
from tlplug.runs import directory as run_directory
from tlplug.runtime.compat import trial_id
from tlplug.settings import OptunaSettings

FOLDER, WORDS, ERROR = "folder", "words", "error"
"""What is kept of a trial in the database beside what Optuna keeps."""
STATES = {"complete": "done", "fail": "failed", "running": "to be gone on with"}


def validation_score(run: Path) -> float | None:
    """The last on the validation rows, never that on the test rows; None where there is no such number."""
    result = json.loads((run / run_directory.RESULT).read_text(encoding="utf-8"))
    points = result["curve"].get("run") or [[0, math.nan]]
    return float(points[-1][1]) if math.isfinite(points[-1][1]) else None


def show_best(study: Any, sweep: Path, console: Any) -> None:
    """What the search found, and the one command that trains it again."""
    trials = study.get_trials(deepcopy=False)
    counts = Counter(trial.state.name.lower() for trial in trials)
    told = ", ".join(f"{count} {STATES.get(name, name)}" for name, count in counts.items())
    lines = [f"Search    {len(trials)} trials: {told}"]
    if counts["complete"]:
        best = study.best_trial
        words, folder = best.user_attrs[WORDS], sweep / best.user_attrs[FOLDER]
        result = json.loads((folder / run_directory.RESULT).read_text(encoding="utf-8"))
        score = (
            f"{result['primary_score']} {figure(best.value, result['display_scale'])} on the validation rows"
        )
        lines += [f"Best      job {best.number}: {score}, {' '.join(words[-len(best.params) :])}"]
        lines += [f"Again     {shlex.join(['python', '-m', 'tlplug', *words])}"]
    lines += [
        f"Job {trial.number} makes no run: {trial.user_attrs[ERROR]}"
        for trial in trials
        if ERROR in trial.user_attrs
    ]
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


DATABASE = "optuna.db"
SPACE = "space"
"""What is kept of a study in the database beside what Optuna keeps."""


class Optuna(Search):
    """A study whose trials are the sweep's jobs, by the same numbers.

    It lies in a database: finished trials stand when the search is gone on with, and one that was cut off is the first
    to be run again, with its values and in its folder.
    """

    def __init__(self, sweep: Sweep, settings: OptunaSettings) -> None:
        """
        Raises:
            UsageError: Optuna is not there, the space is of no use, or the database cannot be opened.
        """
        self.sweep, self.settings = sweep, settings
        self.optuna = quiet_optuna()
        space = space_of(sweep.composer, sweep.words)
        better = higher_is_better(sweep.composer, space)
        self.study = self.opened("maximize" if better else "minimize")
        self.space = Space(space.fixed, self.frozen(space.searched))
        self.dimensions = self.space.dimensions()
        self.trials: dict[int, Any] = {}
        """Of the jobs that this process has begun, by number."""
        self.pruned: set[int] = set()
        self.cut_off = [found.number for found in self.found() if not found.state.is_finished()]
        self.total = max(settings.n_trials, len(self.found()))

    def found(self) -> list[Any]:
        """All trials of the study, as the database has them."""
        return self.study.get_trials(deepcopy=False)  # type: ignore[no-any-return]

    def opened(self, direction: str) -> Any:
        """The study, named as the sweep's folder.

        Raises:
            UsageError: the database cannot be opened, or holds another sweep's study of this name.
        """
        name = self.sweep.folder.resolve().name
        url = self.settings.storage or f"sqlite:///{(self.sweep.folder / DATABASE).resolve()}"
        try:
            study = self.optuna.create_study(
                storage=url, study_name=name, direction=direction, load_if_exists=True, pruner=self.pruner()
            )
        except Exception as error:  # of whichever database it is
            raise UsageError(
                f"sweep.storage: {url} cannot be opened: {str(error).splitlines()[0]}"
            ) from error
        if study.get_trials(deepcopy=False) and not self.settings.resume:
            raise UsageError(f"sweep.storage: {url} has a study {name!r} already; name another run_dir")
        return study

    def frozen(self, searched: tuple[str, ...]) -> tuple[str, ...]:
        """The space that the study began with: a preset may be another one by now."""
        if SPACE not in self.study.user_attrs:
            self.study.set_user_attr(SPACE, list(searched))
        return tuple(self.study.user_attrs[SPACE])

    def pruner(self) -> Any:
        if self.settings.pruner == "none":
            return self.optuna.pruners.NopPruner()
        return self.optuna.pruners.MedianPruner(n_startup_trials=self.settings.n_startup_trials)

    def sampler(self, number: int, place: int) -> Any:
        """One for each value, seeded by what it is for: where the search was cut off makes no difference to it."""
        from numpy.random import SeedSequence

        seed = int(SeedSequence([self.settings.seed, number, place]).generate_state(1)[0])
        if self.settings.sampler == "random":
            return self.optuna.samplers.RandomSampler(seed=seed)
        with warnings.catch_warnings():
            # Optuna 4 calls experimental what is the default of Optuna 5.
            warnings.simplefilter("ignore", self.optuna.exceptions.ExperimentalWarning)
            return self.optuna.samplers.TPESampler(
                seed=seed,
                n_startup_trials=self.settings.n_startup_trials,
                multivariate=True,
                constant_liar=True,
            )

    def next(self) -> SweepJob | None:
        """One that was cut off, else one of new values."""
        while self.cut_off or len(self.found()) < self.settings.n_trials:
            trial = self.again(self.cut_off.pop(0)) if self.cut_off else self.study.ask()
            if (job := self.begun(trial)) is not None:
                return job
        return None

    def again(self, number: int) -> Any:
        """A trial that an earlier process began; Optuna makes one of its id alone."""
        return self.optuna.trial.Trial(self.study, trial_id(self.found()[number]))

    def begun(self, trial: Any) -> SweepJob | None:
        """The trial's job; None where its values make no run, of which the search learns as of a failure.

        Raises:
            UsageError: the very first do not, so it is not the values; or the folder cannot be written to.
        """
        words = [*self.space.fixed, *self.proposed(trial)]
        try:
            job = self.sweep.begin(trial.number, words)
        except UsageError as error:
            trial.set_user_attr(ERROR, str(error))
            self.study.tell(trial, state=self.optuna.trial.TrialState.FAIL)
            if trial.number == 0 or isinstance(error, NotWritten):
                raise
            return None
        trial.set_user_attr(FOLDER, job.folder.name)
        trial.set_user_attr(WORDS, words)
        self.trials[job.number] = trial
        return job

    def proposed(self, trial: Any) -> list[str]:
        """A word for each dimension; those that the trial has a value of already keep it."""
        self.study.sampler = self.sampler(trial.number, 0)
        trial.relative_params  # noqa: B018 - drawn here, together, by this sampler
        words = []
        for place, each in enumerate(self.dimensions, start=1):
            self.study.sampler = self.sampler(trial.number, place)
            words.append(each.word(each.suggested(trial)))
        return words

    def seen(self, job: SweepJob, step: int, score: float) -> bool:
        """Whether it is not below the median; a job that is gone on with tells again what the database has."""
        trial = self.trials[job.number]
        last = self.found()[job.number].last_step
        if last is not None and step < last:
            return True
        if last is None or step > last:
            trial.report(score, step)
        if trial.should_prune():
            self.pruned.add(job.number)
        return job.number not in self.pruned

    def ended(self, job: SweepJob, code: int) -> None:
        state, score = self.optuna.trial.TrialState, None
        if job.finished:
            score = validation_score(job.folder)
            told = state.FAIL if score is None else state.COMPLETE
        elif job.number in self.pruned:
            told = state.PRUNED
        elif code < 0 or code in LEFT_CHECKPOINT:
            return  # it stays open, and is gone on with
        else:
            told = state.FAIL
        self.study.tell(self.trials[job.number], score, state=told)

    def close(self, console: Any) -> None:
        show_best(self.study, self.sweep.folder, console)


def quiet_optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise UsageError("sweep=optuna needs Optuna: pip install 'tlplug[optuna]'") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def higher_is_better(composer: Composer, space: Space) -> bool:
    """As the head says, of a run with some value for everything: what is wrong with it is known before any begins."""
    words = [*space.fixed, *(each.word(each.first()) for each in space.dimensions())]
    return bool(build(composer.compose(words), words).head.higher_is_better)
