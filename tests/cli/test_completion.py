"""What a shell completes: a real bash runs the script that the program writes for it."""

import os
import shlex
import subprocess
import sys

import pytest

SCRIPT = """
set -e
tlplug() {{ {program} "$@"; }}
export -f tlplug
eval "$(_TLPLUG_COMPLETE=bash_source tlplug)"
COMP_WORDS=({words}); COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 )); COMPREPLY=()
_tlplug_completion {folder}/tlplug
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


def complete(tmp_path, *words):
    """What bash offers for a line, in the words that it divides it into."""
    program = shlex.join([sys.executable, "-c", "import sys; from tlplug.cli import main; sys.exit(main())"])
    executable = tmp_path / "tlplug"
    executable.write_text(f'#!/bin/bash\nexec {program} "$@"\n')
    executable.chmod(0o755)
    script = SCRIPT.format(program=program, words=shlex.join(["tlplug", *words]), folder=tmp_path)
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=os.environ, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.split("\n")[:-1]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["com"], ["compare "]),
        (["+strat"], ["+strategy="]),
        (["+strategy", "=", "lora"], ["lora ", "lora_plus "]),
        (["+strategy", "=", "ia3", "strategy.t"], ["strategy.target_modules="]),
        (["+strategy", "=", "ia3", "data.bat"], ["data.batch_size=", "data.batching="]),
        (["metrics", "RUN", "metric", "=", "[cka,ret"], ["[cka,retention "]),
        (["predict", "RUN", "--te"], ["--text "]),
        (["plugins", "new", "mine", "--kind", "m"], ["metric "]),
    ],
)
def test_bash_completes(words, expected, tmp_path):
    assert complete(tmp_path, *words) == expected


def test_after_the_equals_sign_come_all_choices(tmp_path):
    assert {"sentiment ", "qa "} <= set(complete(tmp_path, "+task", "="))


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_have_a_script(shell):
    line = "import sys; from tlplug.cli import main; sys.exit(main())"
    env = {**os.environ, "_TLPLUG_COMPLETE": f"{shell}_source"}
    done = subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, env=env, timeout=120)
    assert done.returncode == 0 and "_TLPLUG_COMPLETE" in done.stdout
