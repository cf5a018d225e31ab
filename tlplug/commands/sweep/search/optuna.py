"""Search with Optuna, which proposes values from the validation scores of earlier jobs (`sweep=optuna`)."""

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
"""Names of the user attributes of a trial in the database."""
STATES = {"complete": "done", "fail": "failed", "running": "to be gone on with"}


def validation_score(run: Path) -> float | None:
    """Return the last primary score on the validation rows; None if there is none or it is not finite."""
    result = json.loads((run / run_directory.RESULT).read_text(encoding="utf-8"))
    points = result["curve"].get("run") or [[0, math.nan]]
    return float(points[-1][1]) if math.isfinite(points[-1][1]) else None


def show_best(study: Any, sweep: Path, console: Any) -> None:
    """Print the states of the trials, the best one with the command that trains it again, and the invalid ones."""
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
"""The name of the user attribute of a study in the database."""


class Optuna(Search):
    """A study whose trials are the sweep's jobs, with the same numbers.

    The study is stored in a database. A resumed search keeps the finished trials, and first resumes those that were
    interrupted, with the same values and folders.
    """

    def __init__(self, sweep: Sweep, settings: OptunaSettings) -> None:
        """
        Raises:
            UsageError: Optuna is not installed, the space is invalid, or the database cannot be opened.
        """
        self.sweep, self.settings = sweep, settings
        self.optuna = quiet_optuna()
        space = space_of(sweep.composer, sweep.words)
        better = higher_is_better(sweep.composer, space)
        self.study = self.opened("maximize" if better else "minimize")
        self.space = Space(space.fixed, self.frozen(space.searched))
        self.dimensions = self.space.dimensions()
        self.trials: dict[int, Any] = {}
        """Job number -> trial, for the jobs that this process has started."""
        self.pruned: set[int] = set()
        self.cut_off = [found.number for found in self.found() if not found.state.is_finished()]
        self.total = max(settings.n_trials, len(self.found()))

    def found(self) -> list[Any]:
        """Return all trials of the study from the database."""
        return self.study.get_trials(deepcopy=False)  # type: ignore[no-any-return]

    def opened(self, direction: str) -> Any:
        """Open or create the study with the name of the sweep's folder.

        Raises:
            UsageError: the database cannot be opened, or has a study of this name that is not resumed.
        """
        name = self.sweep.folder.resolve().name
        url = self.settings.storage or f"sqlite:///{(self.sweep.folder / DATABASE).resolve()}"
        try:
            study = self.optuna.create_study(
                storage=url, study_name=name, direction=direction, load_if_exists=True, pruner=self.pruner()
            )
        except Exception as error:  # its type depends on the database
            raise UsageError(
                f"sweep.storage: {url} cannot be opened: {str(error).splitlines()[0]}"
            ) from error
        if study.get_trials(deepcopy=False) and not self.settings.resume:
            raise UsageError(f"sweep.storage: {url} has a study {name!r} already; name another run_dir")
        return study

    def frozen(self, searched: tuple[str, ...]) -> tuple[str, ...]:
        """Return the space with which the study was created, as a preset may have changed since; store it if new."""
        if SPACE not in self.study.user_attrs:
            self.study.set_user_attr(SPACE, list(searched))
        return tuple(self.study.user_attrs[SPACE])

    def pruner(self) -> Any:
        if self.settings.pruner == "none":
            return self.optuna.pruners.NopPruner()
        return self.optuna.pruners.MedianPruner(n_startup_trials=self.settings.n_startup_trials)

    def sampler(self, number: int, place: int) -> Any:
        """Return a sampler seeded by trial and dimension, so that a resumed search proposes the same values."""
        from numpy.random import SeedSequence

        seed = int(SeedSequence([self.settings.seed, number, place]).generate_state(1)[0])
        if self.settings.sampler == "random":
            return self.optuna.samplers.RandomSampler(seed=seed)
        with warnings.catch_warnings():
            # Optuna 4 marks as experimental options that are the default in Optuna 5.
            warnings.simplefilter("ignore", self.optuna.exceptions.ExperimentalWarning)
            return self.optuna.samplers.TPESampler(
                seed=seed,
                n_startup_trials=self.settings.n_startup_trials,
                multivariate=True,
                constant_liar=True,
            )

    def next(self) -> SweepJob | None:
        """Return an interrupted job, else a job with new values; None after `n_trials`."""
        while self.cut_off or len(self.found()) < self.settings.n_trials:
            trial = self.again(self.cut_off.pop(0)) if self.cut_off else self.study.ask()
            if (job := self.begun(trial)) is not None:
                return job
        return None

    def again(self, number: int) -> Any:
        """Return the trial of an earlier process, which Optuna restores from its id."""
        return self.optuna.trial.Trial(self.study, trial_id(self.found()[number]))

    def begun(self, trial: Any) -> SweepJob | None:
        """Create the trial's job; if its values are invalid, record the trial as failed and return None.

        Raises:
            UsageError: the first trial is invalid, so the values are not the cause, or the folder cannot be written.
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
        """Return a key=value argument for each dimension; a trial keeps the values that it has already."""
        self.study.sampler = self.sampler(trial.number, 0)
        trial.relative_params  # noqa: B018 - drawn here, together, by this sampler
        words = []
        for place, each in enumerate(self.dimensions, start=1):
            self.study.sampler = self.sampler(trial.number, place)
            words.append(each.word(each.suggested(trial)))
        return words

    def seen(self, job: SweepJob, step: int, score: float) -> bool:
        """Report a score unless the database has it, as after resuming; return False if the trial is pruned."""
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
            return  # the trial remains open and can be resumed
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
    """Return the head's `higher_is_better`, building a sample job that reveals errors before the first trial."""
    words = [*space.fixed, *(each.word(each.first()) for each in space.dimensions())]
    return bool(build(composer.compose(words), words).head.higher_is_better)
