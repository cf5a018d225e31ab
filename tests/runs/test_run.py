import pytest

from tlplug.config.compose import Composer
from tlplug.config.job import build
from tlplug.runs.directory import create
from tlplug.runs.run import goes_on, where


@pytest.mark.parametrize(
    ("strategy", "flag"), [("lora", ""), ("tests.testing.sound.SoundStrategy", " --trust")]
)
def test_the_commands_that_a_run_names_can_be_run(strategy, flag, tmp_path, capsys):
    from rich.console import Console

    with Composer() as composer:
        job = build(composer.compose([f"strategy={strategy}", "task=sentiment"]))
    create(tmp_path / "run", "seed: 1\n", overrides=[])
    assert goes_on(tmp_path / "run", job) == (
        f"python -m tlplug resume {tmp_path / 'run'}{flag} goes on at its beginning"
    )
    where(Console(width=400), tmp_path / "run", job)
    assert f"python -m tlplug predict {tmp_path / 'run'} --input FILE{flag}\n" in capsys.readouterr().out
