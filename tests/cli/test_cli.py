"""What a person gets for the words of a command line: exit codes and texts."""

import pytest

from tests.cli.runs import main, tiny_words
from tlplug import __version__


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
        (["plugins"], "plugins list"),
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
