"""The command line, `python -m tlplug`: which command the words name, and what an error looks like. Imports no torch."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from importlib import import_module

import click

from tlplug.commands.arguments import HELP_FLAGS, SETTINGS, complete_override
from tlplug.errors import Stopped, TrainingFailed, UsageError, did_you_mean

FAILED, USAGE, INTERRUPTED = 1, 2, 130
PROGRAM, COMPLETION = "python -m tlplug", "_TLPLUG_COMPLETE"
COMMANDS = {
    "train": "train",
    "compare": "choose",
    "rank": "choose",
    "resume": "train",
    "evaluate": "finished_runs",
    "predict": "finished_runs",
    "metrics": "finished_runs",
    "report": "finished_runs",
    "export": "finished_runs",
    "plugins": "plugins.commands",
}
"""Command -> the module of `tlplug.commands` that has it."""
OFTEN_SET = """\
Often set: seed= run_dir= model.source= data.path= data.columns.text= data.limit.train= trainer.max_epochs=
optimizer.learning_rate= trainer.devices= transfer.baselines=[...] and strategy.<field>. All keys: --cfg job."""


class Root(click.Group):
    """All commands, each imported when it is used; words that name none of them are those of `train`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"tlplug.commands.{COMMANDS[cmd_name]}")
        return getattr(module, cmd_name)  # type: ignore[no-any-return]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args and ctx.resilient_parsing:
            return super().parse_args(ctx, args)
        first = args[0] if args else ""
        if first not in (*COMMANDS, *HELP_FLAGS, "--version"):
            if first and not first.startswith(("-", "~")) and "=" not in first and not ctx.resilient_parsing:
                raise UsageError(unknown_command(first))
            args = ["train", *args]
        return super().parse_args(ctx, args)

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the help: commands and flags, then what can be chosen in each group."""
        super().format_help(ctx, formatter)
        from tlplug.config.choices import Choices

        formatter.write(f"\n{Choices().overview()}\n\n{OFTEN_SET}\n")

    def shell_complete(
        self, ctx: click.Context, incomplete: str
    ) -> list[click.shell_completion.CompletionItem]:
        """Return commands, and what a run's first key=value could be."""
        return [*super().shell_complete(ctx, incomplete), *complete_override(incomplete, [])]


def unknown_command(word: str) -> str:
    """Name the nearest command, and all of them."""
    hint = did_you_mean(word, COMMANDS)
    return f"'{word}' is neither a command nor key=value.{hint} The commands are {', '.join(COMMANDS)}"


def show_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from tlplug import __version__

        click.echo(f"tlplug {__version__}")
        ctx.exit()


ROOT = Root(
    "tlplug",
    params=[
        click.Option(
            ["--version"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=show_version,
            help="Show the version and exit.",
        )
    ],
    help="Adapt a pretrained model to your data, and measure whether knowledge transferred.\n\n"
    f"\b\n  {PROGRAM} +strategy=lora +task=sentiment            train, measure, report\n"
    f"  {PROGRAM} -m +strategy=lora,full +task=sentiment    every combination of several values",
    subcommand_metavar="[COMMAND] [KEY=VALUE]...",
    options_metavar="[OPTIONS]",
    context_settings=SETTINGS,
)


def main(words: Sequence[str] | None = None) -> int:
    """Run one command line.

    Returns:
        The exit code: 0 done, 1 a training that could not go on, 2 wrong usage or data, 130 Ctrl-C, 143 SIGTERM. Any other
        failure while running is an exception, whose traceback Python prints with exit code 1.
    """
    if instruction := os.environ.get(COMPLETION):
        from tlplug.commands.completion import complete

        return complete(ROOT, instruction, COMPLETION)
    try:
        return run(list(sys.argv[1:] if words is None else words))
    except UsageError as error:
        print(f"tlplug: {error}", file=sys.stderr)
        return USAGE
    except TrainingFailed as error:
        # Its traceback is in the run's log. Of several processes that stop for one reason, the first tells it, and the
        # others end as if all were well: Lightning kills the first one as soon as another has failed.
        if message := str(error):
            show(message)
        return FAILED if message else 0
    except BrokenPipeError:
        # Whoever read the predictions has enough of them; Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        print(f"tlplug: {error.strerror}: {error.filename}", file=sys.stderr)
        return USAGE
    except Stopped as stopped:
        show(str(stopped))
        return stopped.code
    except KeyboardInterrupt:
        print("tlplug: interrupted", file=sys.stderr)
        return INTERRUPTED


def show(message: str) -> None:
    """Write a message to a terminal that may be closed."""
    from tlplug.runtime.console import print_error

    print_error(f"tlplug: {message}")


def run(words: list[str]) -> int:
    """Run the command that the words name; click's own `main` would take exceptions that are ours to show.

    Raises:
        UsageError: a flag or argument that the command does not have, or lacks.
    """
    try:
        with ROOT.make_context(PROGRAM, words) as ctx:
            return ROOT.invoke(ctx) or 0
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.NoSuchOption as error:
        # All of them have the dashes: only a near one is meant.
        hint = did_you_mean(error.option_name, error.possibilities or (), cutoff=0.7)
        raise UsageError(f"No such option {error.option_name!r}.{hint}") from error
    except click.UsageError as error:
        usage = f"\n\n{error.ctx.get_usage()}" if error.ctx is not None else ""
        raise UsageError(f"{error.format_message()}{usage}") from error
