"""`compare` from its words to its report, on a tiny base model."""

import json
import shlex
import signal
import sys
from dataclasses import asdict

import pytest

from tests.cli.runs import main, tiny_words
from tlplug.commands.compare.plan import CompareSettings, plan
from tlplug.config.compose import Composer
from tlplug.config.job import build
from tlplug.errors import UsageError
from tlplug.training import outcome_cache as outcomes

BOTH = "strategies=[linear_probe,lora]"


def words(tiny_folder, rows_folder, *more):
    """A comparison of two strategies over two seeds; what `more` says comes last."""
    own = tiny_words(tiny_folder, rows_folder)[1:]
    given = [BOTH, "seeds=2", "stop_early=false", *more]
    named = {word.partition("=")[0]: word for word in given}
    return ["compare", *own, *(word for word in named.values() if word != "stop_early=")]


def result_of(folder):
    return json.loads((folder / "compare.json").read_text())


@pytest.fixture
def composer():
    with Composer() as found:
        yield found


# Words


@pytest.mark.parametrize("sign", ["", "+", "++"])
@pytest.mark.parametrize("prefix", ["", "compare."])
def test_the_names_alone_are_short_for_the_keys(composer, sign, prefix):
    typed = [
        f"{sign}{prefix}{word}" for word in ("strategies=[full,lora]", "seeds=[4,1]", "target_score=0.8")
    ]
    found = plan(composer, [*typed, "+task=sentiment"])
    assert found.settings == CompareSettings(strategies=["full", "lora"], seeds=[4, 1], target_score=0.8)
    assert list(found.jobs) == ["full", "lora"], "the order is the user's"


def test_lists_need_no_brackets(composer):
    found = plan(
        composer, ["task=sentiment", "strategies=full,lora", "seeds=1,2", "learning_rate_factors=0.5,2"]
    )
    assert found.settings.strategies == ["full", "lora"] and found.settings.seed_list() == [1, 2]
    assert found.settings.learning_rate_factors == [0.5, 2.0]
    assert plan(composer, ["task=sentiment", "strategies=lora"]).settings.strategies == ["lora"]


def test_a_count_of_seeds_is_those_from_0():
    assert CompareSettings(["lora"], seeds=3).seed_list() == [0, 1, 2]


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        (["strategy=lora"], "strategies=[linear_probe,lora]"),
        (["strategy.r=4"], "strategy.lora.r=16"),
        (["+seed=3"], "seeds=[3,4,5]"),
        (["optimizer.learning_rate=1e-3"], "tune_learning_rate=true"),
        (["transfer.baselines=[scratch]"], "strategies=[scratch,lora]"),
        (["logger=[wandb]"], "compare.json"),
        (["metric.transfer_gain.seed=3"], "primary score"),
        (["stratgies=[lora]"], "Did you mean 'strategies'"),
        (["compare.sedes=2"], "Did you mean 'seeds'"),
        (["target_score.x=2"], "there is no key"),
        (["trainer.max_epoch=2"], "Did you mean 'trainer.max_epochs'"),
        (["strategies=[lroa,full]"], "Did you mean 'lora'"),
        (["strategies=[lora,lora]"], "none twice"),
        (["strategies=[]"], "at least one"),
        (["seeds=0"], "seeds is 0"),
        (["seeds=[1,1]"], "different numbers"),
        (["seeds=many"], "seeds is many"),
        (["seeds=true"], "seeds is True"),
        (["target_score=high"], "target_score=high"),
        (["target_score=85"], "target_score=0.85"),
        (["target_score=0.8", "stop_early=false"], "leave one out"),
        (["tune_learning_rate=perhaps"], "tune_learning_rate=perhaps"),
        (["tune_learning_rate=true,false"], "has several values"),
        (["tune_learning_rate=true", "learning_rate_factors=[0]"], "above 0"),
        (["tune_learning_rate=true", "trainer.limit_val_batches=0"], "leaves none"),
        (["strategy.lroa.r=4"], "Did you mean 'lora'"),
        (["strategy.lora.lora_alhpa=4"], "Did you mean 'strategy.lora_alpha'"),
        (["strategy.lora.r=0"], "r is 0"),
        (["trainer.max_epochs=1,2"], "has several values"),
    ],
)
def test_wrong_words_get_one_clear_error(composer, typed, says):
    with pytest.raises(UsageError) as error:
        plan(composer, ["task=sentiment", BOTH, *typed])
    assert says in str(error.value)


def test_what_cannot_work_is_told_all_at_once_with_what_could(composer):
    with pytest.raises(UsageError) as error:
        plan(composer, ["task=ner", "strategies=[linear_probe,lora,zero_shot,coral,full]"])
    lines = str(error.value).splitlines()
    assert [line.split(":")[0].strip() for line in lines[1:]] == [
        *("linear_probe", "zero_shot", "coral"),
        "The others",
    ]
    assert "strategies=[lora,full]" in lines[-1]


def test_what_is_wrong_with_all_of_them_is_told_once(composer):
    with pytest.raises(UsageError) as error:
        plan(composer, ["task=sentiment", BOTH, "data.pth=x"])
    assert str(error.value).count("data.pth") == 2 and "linear_probe" not in str(error.value)


def test_fields_are_of_one_strategy_and_presets_can_be_compared(composer):
    found = plan(composer, ["task=sentiment", "strategies=[dora,lora]", "strategy.lora.r=3"])
    assert found.strategies["lora"].config.r == 3 and found.strategies["dora"].config.r == 8
    assert found.strategies["dora"].config.use_dora and not found.strategies["lora"].config.use_dora


def test_the_command_that_it_names_is_that_training(composer):
    typed = ["+task=sentiment", "strategies=[full,lora]", "seeds=[7,8]", "strategy.lora.r=3", "run_dir=x"]
    found = plan(composer, [*typed, "data.columns.text=my text"])
    command = shlex.split(found.command_for("lora", 1e-3))
    assert command[:3] == ["python", "-m", "tlplug"]
    job = build(composer.compose(command[3:]))
    assert asdict(job.strategy.config) == asdict(found.strategies["lora"].config)
    assert (job.seed, job.optimizer.learning_rate, job.run_dir) == (7, 1e-3, None)
    assert job.data == found.first.data and job.trainer == found.first.trainer


# Runs


@pytest.fixture(scope="module")
def compared(tmp_path_factory, tiny_folder, rows_folder):
    """One whole comparison through the command line's own door: its folder, its words, what was printed."""
    import contextlib
    import io

    folder, printed = tmp_path_factory.mktemp("compared"), io.StringIO()
    given = words(tiny_folder, rows_folder, f"run_dir={folder / 'one'}", "data.limit.train=24")
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.setenv("TLPLUG_CACHE", str(folder / "cache"))
        patch.setenv("COLUMNS", "120")
        assert main(given) == 0
    return folder, given, printed.getvalue()


def test_the_folder_holds_what_is_promised(compared):
    folder, _, _ = compared
    assert {path.name for path in (folder / "one").iterdir()} == {
        *("config.yaml", "compare.json", "report.html", "report.md", "log.txt")
    }


def test_the_figures_are_those_of_the_trainings(compared):
    found = result_of(compared[0] / "one")
    assert found["version"] == 1 and [each["name"] for each in found["strategies"]] == [
        "linear_probe",
        "lora",
    ]
    for each in found["strategies"]:
        assert [run["seed"] for run in each["runs"]] == [0, 1]
        mean = sum(run["scores"]["accuracy"] for run in each["runs"]) / 2
        assert each["score"]["mean"] == pytest.approx(mean)
        assert each["score"]["low"] <= mean <= each["score"]["high"]
        assert all(run["validation"]["accuracy"] >= 0 and not run["cached"] for run in each["runs"])
    probe, lora = found["strategies"]
    assert (probe["gain"]["over"], lora["gain"]["over"]) == ("trivial", "linear_probe")
    assert lora["gain"]["mean"] == pytest.approx(lora["score"]["mean"] - probe["score"]["mean"])
    assert probe["gain"]["mean"] == pytest.approx(probe["score"]["mean"] - found["trivial"]["score"]["mean"])
    assert probe["trainable_parameters"] < lora["trainable_parameters"]
    assert found["lightest"] in found["summary"] and f"+strategy={found['lightest']}" in found["command"]


def test_what_a_person_sees(compared):
    text = " ".join(compared[2].split())
    found = result_of(compared[0] / "one")
    for told in ("Expected, from one step of each", "strategy 2 of 2", "lora, seed 1 (2 of 2)", "trivial"):
        assert told in text
    assert " ".join(found["summary"].split()) in text and found["command"] in compared[2]
    assert "Warning" not in text and "LOAD REPORT" not in text


def test_the_same_command_again_trains_nothing_and_finds_the_same(compared, monkeypatch, capsys):
    folder, given, _ = compared
    monkeypatch.setenv("TLPLUG_CACHE", str(folder / "cache"))
    monkeypatch.setattr(outcomes, "adapt", lambda *args, **more: pytest.fail("it was trained again"))
    monkeypatch.setattr(
        "tlplug.commands.compare.estimate.timed", lambda *args: pytest.fail("it was tried again")
    )
    again = [word for word in given if not word.startswith("run_dir=")]
    assert main([*again, f"run_dir={folder / 'two'}"]) == 0
    text = capsys.readouterr().out
    assert text.count("from the cache") >= 4 and "All of it is in the cache" in text
    first, second = (result_of(folder / name) for name in ("one", "two"))
    for part in ("summary", "lightest", "best"):
        assert first[part] == second[part]
    assert all(run["cached"] for each in second["strategies"] for run in each["runs"])


def test_a_folder_of_a_finished_comparison_is_not_written_over(compared, capsys):
    _, given, _ = compared
    assert main(given) == 2
    assert "something lies there already" in capsys.readouterr().err


def test_a_comparison_that_was_cut_off_goes_on_in_its_folder(
    tmp_path, tiny_folder, rows_folder, monkeypatch, capsys
):
    given = words(tiny_folder, rows_folder, "data.limit.train=24", f"run_dir={tmp_path / 'cut'}")
    trained, adapt = [], outcomes.adapt

    def interrupted(task, strategy, *args, **more):
        if len(trained) == 3:
            signal.raise_signal(signal.SIGINT)
        trained.append((type(strategy).__name__, task.seed))
        return adapt(task, strategy, *args, **more)

    monkeypatch.setattr(outcomes, "adapt", interrupted)
    assert main(given) == 130
    assert "the same command goes on" in capsys.readouterr().err
    assert not (tmp_path / "cut" / "compare.json").exists()
    monkeypatch.setattr(
        outcomes, "adapt", lambda *args, **more: trained.append("again") or adapt(*args, **more)
    )
    assert main(given) == 0
    assert trained == [("LinearProbe", 0), ("LinearProbe", 1), ("Lora", 0), "again"]
    cached = [run["cached"] for each in result_of(tmp_path / "cut")["strategies"] for run in each["runs"]]
    assert cached == [True, True, True, False]


def test_another_comparison_does_not_go_on_there(tmp_path, tiny_folder, rows_folder, capsys):
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / "config.yaml").write_text("task: another\n")
    assert main(words(tiny_folder, rows_folder, f"run_dir={tmp_path / 'cut'}")) == 2
    assert "something lies there already" in capsys.readouterr().err


def test_a_dry_run_tells_and_leaves_nothing(tmp_path, tiny_folder, rows_folder, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(outcomes, "adapt", lambda *args, **more: pytest.fail("it trains"))
    assert main([*words(tiny_folder, rows_folder), "--dry-run"]) == 0
    text = capsys.readouterr().out
    assert "Expected, from one step of each" in text and "in all where every strategy is run" in text
    assert list(tmp_path.iterdir()) == []


BROKEN = """
from tlplug import OptimizerSettings
from tlplug_plugins.strategies.full import Full

class {name}(Full):
    contract = 1
    optimizer_defaults = OptimizerSettings(1e-3, 0.0, 'linear', 0.0)
{body}
"""


@pytest.fixture
def broken(tmp_path, monkeypatch):
    """A function: body of a class -> the dotted path of a strategy that has it."""

    def write(body, name="Broken"):
        (tmp_path / f"mine_{name.lower()}.py").write_text(BROKEN.format(name=name, body=body))
        return f"mine_{name.lower()}.{name}"

    monkeypatch.syspath_prepend(tmp_path)
    yield write
    for module in [name for name in sys.modules if name.startswith("mine_")]:
        sys.modules.pop(module)


@pytest.mark.parametrize(
    "body",
    [
        "    def adapt(self, model, context):\n        raise RuntimeError('no <b> luck')\n",
        "    steps = 0\n"
        "    def training_step(self, model, head, batches):\n"
        "        self.steps += 1\n"
        "        if self.steps > 7:\n            raise RuntimeError('no <b> luck')\n"
        "        return head.training_step(model, batches['main'])\n",
    ],
    ids=["at once", "on its way"],
)
def test_a_strategy_that_fails_does_not_lose_the_others(
    body, broken, tmp_path, tiny_folder, rows_folder, capsys
):
    both = f"strategies=[{broken(body)},linear_probe]"
    given = words(tiny_folder, rows_folder, both, "data.limit.train=24", f"run_dir={tmp_path / 'run'}")
    assert main(given) == 1
    failed, probe = result_of(tmp_path / "run")["strategies"]
    assert failed["error"] == "RuntimeError: no <b> luck" and probe["error"] is None
    assert "RuntimeError: no <b> luck" in " ".join(capsys.readouterr().out.split())
    assert "no &lt;b&gt; luck" in (tmp_path / "run" / "report.html").read_text()
    assert "Traceback" in (tmp_path / "run" / "log.txt").read_text()


def test_strategies_that_do_not_fit_the_model_are_refused_together_before_training(
    broken, tmp_path, tiny_folder, rows_folder, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    reason = (
        "    def why_incompatible(self, head, base=None):\n"
        "        return base and f'{base.kind} is not for {len(head.labels)} labels.'\n"
    )
    names = [broken(reason, "One"), broken(reason, "Two")]
    monkeypatch.setattr(outcomes, "adapt", lambda *args, **more: pytest.fail("it trains"))
    assert main(words(tiny_folder, rows_folder, f"strategies=[{','.join(names)},linear_probe]")) == 2
    text = capsys.readouterr().err
    assert all(f"{name}: encoder is not for 2 labels." in text for name in ("One", "Two"))
    assert "Leave them out of strategies" in text
    assert not (tmp_path / "outputs").exists()


def test_until_stops_at_the_first_that_reaches_it(tmp_path, tiny_folder, rows_folder):
    given = words(tiny_folder, rows_folder, "target_score=0.1", "stop_early=", f"run_dir={tmp_path / 'run'}")
    assert main([word for word in given if word != "stop_early="]) == 0
    found = result_of(tmp_path / "run")
    assert [each["name"] for each in found["strategies"]] == ["linear_probe"] and found["skipped"] == ["lora"]
    assert found["stop_reason"] == "linear_probe reaches 10.0" and found["lightest"] == "linear_probe"


def test_tuning_shows_the_rates_and_names_the_one_it_took(tmp_path, tiny_folder, rows_folder):
    tuned = [
        "tune_learning_rate=true",
        "learning_rate_factors=[0.5,2]",
        "strategies=[linear_probe]",
        "seeds=[1]",
    ]
    assert main(words(tiny_folder, rows_folder, *tuned, f"run_dir={tmp_path / 'run'}")) == 0
    (found,) = result_of(tmp_path / "run")["strategies"]
    tried = {each["learning_rate"]: each["validation"] for each in found["learning_rates"]}
    assert list(tried) == [5e-3, 2e-2] and tried[found["learning_rate"]] == max(tried.values())
    assert f"optimizer.learning_rate={found['learning_rate']:g}" in result_of(tmp_path / "run")["command"]


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        (["--verbose"], "No such option '--verbose'"),
        (["--cfg", "job"], "--cfg"),
        (["-m"], "No such option '-m'"),
    ],
)
def test_flags_of_other_commands_are_refused(typed, says, capsys):
    assert main(["compare", "task=sentiment", *typed]) == 2
    assert says in capsys.readouterr().err
