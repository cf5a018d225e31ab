"""What a person gets for the words of a command line: exit codes and texts."""

import pytest

from tests.cli.runs import main, tiny_words
from tlplug import __version__
from tlplug.cli import COMMANDS
from tlplug.commands.choose import compare, rank
from tlplug.commands.train import train


def test_help_shows_groups_choices_and_commands(capsys):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    for word in ("qlora", "sentiment", "minilm", "sst2", "wandb", "transfer_gain", "--cfg job", "--version"):
        assert word in text
    assert all(f"\n  {command} " in text for command in COMMANDS)
    assert "..." not in text.split("Commands:")[1].split("\n\n")[0], "a summary that does not fit"


COMMANDS_WITH_HELP = {
    **{command: [] for command in ("evaluate", "metrics", "report", "export", "resume")},
    "train": ["--multirun", "--cfg [job]"],
    "compare": ["--dry-run", "target_score=", "stop_early=false"],
    "rank": ["models=[...]", "fine_tune_top="],
    "predict": ["--input FILE", "--text"],
    "plugins list": ["their packages"],
    "plugins check": ["--rows FILE"],
    "plugins new": ["--out FOLDER", "--kind"],
    "plugins compatibility": ["Markdown"],
}


@pytest.mark.parametrize("flag", ["--help", "-h"])
@pytest.mark.parametrize("command", COMMANDS_WITH_HELP)
def test_each_command_has_a_help_of_its_own_with_an_example(command, flag, capsys):
    assert main([*command.split(), flag]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"Usage: python -m tlplug {command} ")
    assert f"Example:\n  python -m tlplug {command}" in text
    assert all(word in text for word in COMMANDS_WITH_HELP[command])


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["--multrun", "seed=1,2"], " Did you mean '--multirun'?"),
        (["compare", "--dryrun"], " Did you mean '--dry-run'?"),
        (["predict", "RUN", "--txt", "x"], " Did you mean '--text'?"),
        (["--dry-run", "seed=1"], ""),
        (["compare", "-m"], ""),
        (["rank", "--cfg", "job"], ""),
        (["resume", "RUN", "--multirun"], ""),
    ],
)
def test_a_flag_that_is_not_there_gets_its_neighbour_where_one_is_near(words, hint, capsys):
    (flag,) = (word for word in words if word.startswith("-"))
    assert main(words) == 2
    assert capsys.readouterr().err.splitlines()[0] == f"tlplug: No such option '{flag}'.{hint}"


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_the_group_of_plugin_commands_has_a_help(words, capsys):
    assert main(["plugins", *words]) == 0
    text = capsys.readouterr().out
    assert text.startswith("Usage: python -m tlplug plugins [OPTIONS] [COMMAND]")
    assert all(f"\n  {command} " in text for command in ("list", "check", "new", "compatibility"))


def test_every_command_has_a_help_that_is_tested():
    assert {name.split()[0] for name in COMMANDS_WITH_HELP} == set(COMMANDS)


@pytest.mark.parametrize("command", [train, compare, rank], ids=lambda command: command.name)
def test_the_example_of_a_command_is_a_config(command):
    from tlplug.commands.compare.plan import plan as compare_plan
    from tlplug.commands.rank.plan import plan as rank_plan
    from tlplug.config.compose import Composer

    keys = command.make_context(command.name, command.example.split()).params["keys"]
    made = {"compare": compare_plan, "rank": rank_plan}.get(command.name, Composer.compose)
    with Composer() as composer:
        assert made(composer, keys)


def test_the_version_is_shown(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"tlplug {__version__}\n"


def test_the_composed_config_is_shown_and_nothing_is_run(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["strategy=lora", "task=sentiment", "strategy.r=3", "--cfg", "job"]) == 0
    assert "r: 3" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "say strategy=... and task=..."),
        (["+stratgey=qlora"], "Did you mean 'strategy'"),
        (["plugins", "lsit"], "Did you mean 'list'?"),
        (["evalute", "RUN"], "Did you mean 'evaluate'?"),
        (
            ["measure", "RUN", "metric=[cka]"],
            "The commands are train, compare, rank, resume, evaluate, predict, metrics",
        ),
        (["--verbose"], "No such option '--verbose'"),
        (["--cfg", "hydra"], "'hydra' is not 'job'"),
        (["-m", "strategy=lora,fulll", "task=sentiment"], "Did you mean 'full'"),
    ],
)
def test_wrong_usage_is_exit_code_2_and_one_message(words, says, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    captured = capsys.readouterr()
    assert says in captured.err and captured.out == ""
    assert list(tmp_path.iterdir()) == [], "nothing half done"


def test_the_plugin_list_shows_where_each_comes_from(capsys):
    assert main(["plugins", "list"]) == 0
    text = capsys.readouterr().out
    assert "qlora" in text and "tlplug" in text and "classification" in text


def with_rows(tmp_path, text):
    path = tmp_path / "mine.jsonl"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"text": "a", "label": "x"}\n{"text": "b"\n', "mine.jsonl, line 2"),
        ('{"text": "a", "label": "x"}\n{"text": "", "label": "y"}\n' * 20, "line 40: column 'text' is empty"),
        ('{"txt": "a", "label": "x"}\n' * 20, "data.columns.text"),
        ("", "no rows"),
    ],
)
def test_wrong_data_is_exit_code_2_and_leaves_nothing(text, says, capsys, tmp_path, monkeypatch, tiny_folder):
    monkeypatch.chdir(tmp_path)
    path = with_rows(tmp_path, text)
    words = [
        "strategy=lora",
        "task=sentiment",
        "data=files",
        f"data.path={path}",
        f"model.source={tiny_folder}",
    ]
    assert main([*words, "model.sha256=null"]) == 2
    assert says in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [path]


def test_a_run_directory_that_is_taken_is_refused(capsys, tmp_path, tiny_folder, rows_folder):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("mine")
    assert main([*tiny_words(tiny_folder, rows_folder), f"run_dir={tmp_path / 'run'}"]) == 2
    assert "something lies there already" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["mine.txt"]


def test_keys_may_be_passed_as_flags(capsys):
    assert (
        main(["--strategy=lora", "--task=sentiment", "--optimizer.learning_rate=0.25", "--cfg", "job"]) == 0
    )
    assert "learning_rate: 0.25" in capsys.readouterr().out
    assert main(["--sead=1", "--task=sentiment"]) == 2
    assert "No such option" in capsys.readouterr().err
