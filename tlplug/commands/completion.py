"""Complete commands, groups, plugins and keys in bash, zsh and fish with click."""

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
    """Completion in bash, which splits `key=value` into three words and completes the part after `=`."""

    # A key is completed up to its `=`, without a space before the choice.
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
    """Print the completion script of a shell or its completions, according to `instruction`.

    Args:
        instruction: the value of the environment variable `variable`, such as `bash_source`.
    """
    add_completion_class(SplitWords)
    return shell_complete(root, {}, "tlplug", variable, instruction)
