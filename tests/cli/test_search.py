"""`sweep=optuna`: which values are proposed, from what, and that a kill changes none of them."""

import json
import math
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from tests.cli.runs import command_line, main, result_of, tiny_words
from tests.conftest import ROOT
from tlplug.commands.sweep.protocols import SweepJob
from tlplug.commands.sweep.search.optuna import Optuna
from tlplug.commands.sweep.search.space import Dimension, dimension, parse, space_of
from tlplug.config.compose import Composer
from tlplug.config.job import build
from tlplug.errors import UsageError
from tlplug.interfaces.registry import Registry
from tlplug.settings import OptunaSettings

LOG_RATE = "optimizer.learning_rate=tag(log,interval(1e-5,1e-2))"
RANK, DROPOUT = "strategy.r=choice(4,8,16)", "strategy.lora_dropout=interval(0,0.5)"
BASIC = ["strategy=lora", "task=sentiment"]
UNTUNED = {"zero_shot"}
"""Strategies with nothing to tune."""


class Folder:
    """A sweep whose jobs are begun without a config: what a search asks of one."""

    def __init__(self, folder, composer, *words):
        self.folder, self.words, self.composer = Path(folder), [*BASIC, *words], composer
        self.refused = ()
        self.folder.mkdir(parents=True, exist_ok=True)

    def begin(self, number, overrides):
        if number in self.refused:
            raise UsageError("no run is made of that")
        (self.folder / str(number)).mkdir(exist_ok=True, parents=True)
        return SweepJob(number, tuple(overrides), self.folder / str(number), "accuracy", 100)


def score_of(job):
    """Best at a rate of 1e-3 and a rank of 8, and the same whenever it is asked for."""
    values = dict(word.split("=") for word in job.overrides)
    return (
        -abs(math.log10(float(values["optimizer.learning_rate"])) + 3)
        - abs(int(values["strategy.r"]) - 8) / 8
    )


def finish(search, job, score=None):
    curve = {"run": [[8, -9.0], [16, score_of(job) if score is None else score]]}
    result = {"primary_score": "accuracy", "display_scale": 1, "scores": {"accuracy": 0.0}, "curve": curve}
    (job.folder / "result.json").write_text(json.dumps(result))
    (job.folder / "report.html").touch()
    search.ended(job, 0)


@pytest.fixture
def composer():
    with Composer() as opened:
        yield opened


def words_of(search, jobs):
    """What so many jobs are of, each run to its end."""
    found = []
    while len(found) < jobs and (job := search.next()) is not None:
        found.append(job.overrides)
        finish(search, job)
    return found


def test_the_same_seed_proposes_the_same_also_across_a_kill(composer, tmp_path):
    words, settings = [LOG_RATE, RANK, DROPOUT], OptunaSettings(n_trials=9, n_startup_trials=3)
    whole = words_of(Optuna(Folder(tmp_path / "whole" / "s", composer, *words), settings), 9)

    folder = Folder(tmp_path / "cut" / "s", composer, *words)
    first = Optuna(folder, settings)
    before = words_of(first, 5)
    cut_off = first.next()
    del first  # killed while its sixth trial runs
    second = Optuna(folder, OptunaSettings(n_trials=9, n_startup_trials=3, resume=True))
    again = second.next()
    assert (again.number, again.overrides) == (cut_off.number, cut_off.overrides) == (5, whole[5])
    finish(second, again)
    assert [*before, again.overrides, *words_of(second, 9)] == whole
    assert second.next() is None and len(set(whole)) == 9
    assert {trial.state.name for trial in second.found()} == {"COMPLETE"}
    assert (
        words_of(Optuna(Folder(tmp_path / "o" / "s", composer, *words), OptunaSettings(seed=1)), 2)
        != whole[:2]
    )


def test_a_trial_killed_while_it_is_proposed_gets_the_same_values(composer, tmp_path):
    words, settings = [LOG_RATE, RANK, DROPOUT], OptunaSettings(n_trials=9, n_startup_trials=2)
    whole = words_of(Optuna(Folder(tmp_path / "whole" / "s", composer, *words), settings), 5)
    folder = Folder(tmp_path / "cut" / "s", composer, *words)
    first = Optuna(folder, settings)
    words_of(first, 4)
    trial = first.study.ask()
    first.dimensions = first.dimensions[:1]
    first.proposed(trial)
    again = Optuna(folder, OptunaSettings(n_trials=9, n_startup_trials=2, resume=True)).next()
    assert again.overrides == whole[4]


def test_what_scored_well_is_searched(composer, tmp_path):
    search = Optuna(Folder(tmp_path / "s", composer, LOG_RATE, RANK), OptunaSettings(n_trials=40))
    words_of(search, 40)
    scores = [trial.value for trial in search.found()]
    assert sum(scores[-15:]) / 15 > sum(scores[:10]) / 10
    assert search.study.best_value == max(scores) > -0.5


def test_a_bad_trial_is_pruned_and_a_job_that_goes_on_tells_nothing_twice(composer, tmp_path):
    folder = Folder(tmp_path / "s", composer, LOG_RATE, RANK)
    search = Optuna(folder, OptunaSettings(n_trials=9, n_startup_trials=2))
    for _ in range(2):
        job = search.next()
        assert search.seen(job, 6, 0.8) and search.seen(job, 12, 0.9)
        finish(search, job, 0.9)
    job = search.next()
    assert search.seen(job, 6, 0.85)
    resumed = Optuna(folder, OptunaSettings(n_trials=9, n_startup_trials=2, resume=True))
    same = resumed.next()
    assert same.number == job.number
    assert resumed.seen(same, 6, 0.85) and not resumed.seen(same, 12, 0.2)
    resumed.ended(same, 143)
    assert resumed.found()[2].state.name == "PRUNED"
    assert resumed.found()[2].intermediate_values == {6: 0.85, 12: 0.2}
    never = Optuna(
        Folder(tmp_path / "n", composer, LOG_RATE), OptunaSettings(n_startup_trials=1, pruner="none")
    )
    finish(never, never.next(), 0.9)
    assert never.seen(never.next(), 6, 0.0)


def test_what_becomes_of_a_trial(composer, tmp_path):
    folder = Folder(tmp_path / "s", composer, LOG_RATE, RANK)
    folder.refused = (4,)
    search = Optuna(folder, OptunaSettings(n_trials=6))
    for code in (143, -9, 1):
        search.ended(search.next(), code)
    finish(search, search.next(), math.nan)
    assert search.next().number == 5, "the fifth makes no run"
    assert [trial.state.name for trial in search.found()] == [
        "RUNNING",
        "RUNNING",
        "FAIL",
        "FAIL",
        "FAIL",
        "RUNNING",
    ]
    again = Optuna(folder, OptunaSettings(n_trials=6, resume=True))
    assert [again.next().number for _ in range(3)] == [0, 1, 5] and again.next() is None


def test_what_was_found_is_told_with_its_command(composer, tmp_path):
    search = Optuna(Folder(tmp_path / "s", composer, LOG_RATE, RANK), OptunaSettings(n_trials=3))
    jobs = [search.next() for _ in range(3)]
    for job, score in zip(jobs, (0.2, 0.8, 0.5), strict=True):
        finish(search, job, score)
    console = Console(file=StringIO(), width=200)
    search.close(console)
    told = console.file.getvalue()
    assert "3 trials: 3 done" in told and "job 1: accuracy 0.8 on the validation rows" in told
    assert f"python -m tlplug {' '.join(jobs[1].overrides)}\n" in told


@pytest.mark.parametrize(
    ("word", "first", "last"),
    [
        (LOG_RATE, "optimizer.learning_rate=1e-05", "optimizer.learning_rate=0.01"),
        ("strategy.r=int(interval(1,64))", "strategy.r=1", "strategy.r=64"),
        ("strategy.r=range(4,17,4)", "strategy.r=4", "strategy.r=16"),
        (
            "strategy.lora_dropout=range(0.1,0.45,0.1)",
            "strategy.lora_dropout=0.1",
            "strategy.lora_dropout=0.4",
        ),
        ("seed=3,1,2", "seed=3", "seed=2"),
        ("model.source=choice('a b',c)", "model.source=a\\ b", "model.source=c"),
    ],
)
def test_hydras_values_are_optunas(word, first, last):
    found = dimension(parse([word])[0])
    assert found.word(found.first()) == first
    assert found.word(highest(found.distribution)) == last
    assert found.distribution.__dict__.get("log", False) is ("log" in word)


def test_numbers_are_short_and_yet_read_back():
    assert Dimension("x", None).word(0.000123456789) == "x=0.0001235"
    assert Dimension("x", None).word(7) == "x=7"


def presets():
    return sorted(path.stem for path in (ROOT / "conf" / "space").glob("*.yaml"))


@pytest.mark.parametrize("name", presets())
def test_every_preset_makes_runs(composer, name):
    streams = ["data.target_domain=tweets.jsonl", "transfer.source_domain=films.jsonl"]
    space = space_of(composer, [f"strategy={name}", "task=sentiment", *streams])
    words = [*space.fixed, *(each.word(highest(each.distribution)) for each in space.dimensions())]
    build(composer.compose(words), words)
    assert space.dimensions()[0].key == "optimizer.learning_rate"


def highest(distribution):
    return distribution.choices[-1] if hasattr(distribution, "choices") else distribution.high


def test_every_strategy_has_a_space():
    found = [plugin for plugin in Registry().plugins if plugin.kind == "strategy"]
    built_in = {plugin.name for plugin in found if plugin.distribution == "tlplug"}
    assert built_in - set(presets()) == UNTUNED


def test_what_is_typed_stands(composer):
    rate = "optimizer.learning_rate=1e-3"
    assert rate.partition("=")[0] not in " ".join(space_of(composer, [*BASIC, rate]).searched)
    assert space_of(composer, [*BASIC, RANK]).searched == (RANK,)
    dora = space_of(composer, ["strategy=dora", "task=sentiment"])
    assert dora.searched == space_of(composer, BASIC).searched


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["strategy=zero_shot"], "there is no space of strategy 'zero_shot'"),
        (["strategy=lora", "strategy.rang=choice(1,2)"], "there is no key 'strategy.rang'"),
        (["strategy=lora", "seed=tag(log,interval(0,1))"], "cannot be searched"),
        (["strategy=lora", "strategy.init_lora_weights=nonsense", RANK], "nonsense"),
        (["strategy=lora", "sweep.sampler=grid", RANK], "sweep.sampler is 'grid'; it is one of: tpe, random"),
        (["strategy=lora", "sweep.storage=nonsense", RANK], "sweep.storage: nonsense cannot be opened"),
    ],
)
def test_a_search_that_is_of_no_use_is_one_message(words, told, tmp_path, capsys):
    assert main(["-m", "task=sentiment", "sweep=optuna", *words, f"run_dir={tmp_path / 's'}"]) == 2
    assert told in capsys.readouterr().err


@pytest.mark.slow
def test_a_search_of_real_runs(tiny_folder, rows_folder, tmp_path):
    """Two trials, then a third by the same command: the first two stand."""
    quick = ["transfer.baselines=[]", "metric=[]", "evidence.max_rows=0", "evidence.weight_changes=false"]
    words = [
        *tiny_words(tiny_folder, rows_folder, "linear_probe"),
        *quick,
        "+sweep=optuna",
        "sweep.max_parallel=2",
    ]
    words += ["strategy.pooling=mean,cls", f"run_dir={tmp_path / 's'}"]
    done = command_line("-m", *words, "sweep.n_trials=2")
    assert done.returncode == 0, done.stdout + done.stderr
    results = [result_of(tmp_path / "s" / str(number)) for number in range(2)]
    best = max(results, key=lambda result: result["curve"]["run"][-1][1])
    assert f"strategy.pooling={best['strategy_config']['pooling']}" in done.stdout.split("Again")[1]
    done = command_line("-m", *words, "sweep.n_trials=3", "sweep.resume=true")
    assert done.returncode == 0 and "3 trials: 3 done" in done.stdout, done.stdout + done.stderr
    assert results == [result_of(tmp_path / "s" / str(number)) for number in range(2)]
