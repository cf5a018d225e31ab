"""Complete commands, groups, plugins and keys in bash, zsh and fish, by click."""

from __future__ import annotations

import os
from typing import Any

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    add_completion_class,
    shell_complete,
    split_arg_string,
)


class SplitWords(BashComplete):
    """Bash's completion of words with `=`, which bash takes for three words: it asks for what stands after the sign."""

    # A key is completed up to its `=`, after which the choice follows at once.
    source_template = BashComplete.source_template.replace("-o nosort", "-o nosort -o nospace")

    def get_completion_args(self) -> tuple[list[str], str]:
        words = split_arg_string(os.environ["COMP_WORDS"])
        position = int(os.environ["COMP_CWORD"])
        joined: list[str] = []
        for place, word in enumerate([*words, ""][: position + 1]):
            if place and (word == "=" or words[place - 1] == "="):
                joined[-1] += word
            else:
                joined.append(word)
        return joined[1:-1], joined[-1]

    def format_completion(self, item: CompletionItem[Any]) -> str:
        _, sign, choice = item.value.partition("=")
        value = choice if sign and choice else item.value
        return f"{item.type},{value}" + ("" if value.endswith(("=", "/")) else " ")


def complete(root: click.Command, instruction: str, variable: str) -> int:
    """Print the shell's script or its completions, as the environment variable asks for.

    Args:
        instruction: the variable's value, such as `bash_source`.
    """
    add_completion_class(SplitWords)
    return shell_complete(root, {}, "tlplug", variable, instruction)
