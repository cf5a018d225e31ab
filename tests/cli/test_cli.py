"""What a person gets for the words of a command line: exit codes and texts."""

import pytest

from tests.cli.runs import main, tiny_words
from tlplug import __version__
from tlplug.cli import COMMANDS
from tlplug.commands.arguments import compare_parser, rank_parser, train_parser


def test_help_shows_groups_choices_and_commands(capsys):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    for word in (
        "qlora",
        "sentiment",
        "minilm",
        "sst2",
        "wandb",
        "transfer_gain",
        "plugins list",
        "--cfg job",
    ):
        assert word in text


COMMANDS_WITH_HELP = {
    **{command: (command, ["example:"]) for command in ("evaluate", "metrics", "report", "export", "resume")},
    "train": ("train", ["--multirun", "key=value"]),
    "compare": ("compare", ["--dry-run", "target_score=", "stop_early=false"]),
    "rank": ("rank", ["models=[...]", "fine_tune_top="]),
    "predict": ("predict", ["--input FILE", "--text"]),
    "plugins list": ("plugins list", ["its package"]),
    "plugins check": ("plugins check", ["--rows FILE"]),
    "plugins new": ("plugins new", ["--out FOLDER", "--kind"]),
    "plugins compatibility": ("plugins compatibility", ["Markdown"]),
}


@pytest.mark.parametrize("flag", ["--help", "-h"])
@pytest.mark.parametrize("command", COMMANDS_WITH_HELP)
def test_each_command_has_a_help_of_its_own_with_an_example(command, flag, capsys):
    with pytest.raises(SystemExit) as ended:
        main([*command.split(), flag])
    text = capsys.readouterr().out
    name, words = COMMANDS_WITH_HELP[command]
    assert ended.value.code == 0 and text.startswith(f"usage: python -m tlplug {name} ")
    assert f"example:\n  python -m tlplug {name}" in text and all(word in text for word in words)
    assert "{" not in text.replace("{strategy,head,metric}", ""), "no placeholder is left"


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
    assert capsys.readouterr().err.splitlines()[0].endswith(f": there is no flag {flag}.{hint}")


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_the_group_of_plugin_commands_has_a_help(words, capsys):
    assert main(["plugins", *words]) == 0
    text = capsys.readouterr().out
    assert text.startswith("usage: python -m tlplug plugins COMMAND") and "example:" in text
    assert all(f"\n  {command} " in text for command in ("list", "check NAME", "new NAME", "compatibility"))


def test_every_command_is_in_the_help(capsys):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"  python -m tlplug {command} " in text for command in COMMANDS if command != "train")
    assert {name.split()[0] for name in COMMANDS_WITH_HELP} == set(COMMANDS)


@pytest.mark.parametrize("options", [train_parser(), compare_parser(), rank_parser()], ids=lambda o: o.prog)
def test_the_example_of_a_command_is_a_config(options):
    from tlplug.commands.compare.plan import plan as compare_plan
    from tlplug.commands.rank.plan import plan as rank_plan
    from tlplug.config.compose import Composer

    words = options.epilog.splitlines()[-1].removeprefix(f"  {options.prog} ").split()
    keys = options.parse(words).keys
    made = {"compare": compare_plan, "rank": rank_plan}.get(options.prog.split()[-1], Composer.compose)
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
        (["plugins", "lsit"], "plugins list"),
        (["evalute", "RUN"], "Did you mean 'evaluate'?"),
        (["measure", "RUN", "metric=[cka]"], "predict, export, metrics, report"),
        (["--verbose"], "no flag --verbose"),
        (["--cfg", "hydra"], "--cfg job"),
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
