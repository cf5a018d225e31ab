"""Run the command line `python -m tlplug`: select the command and print errors. Imports no torch."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from importlib import import_module

import click

from tlplug.commands.arguments import HELP_FLAGS, SETTINGS, complete_override, without_dashes
from tlplug.config.choices import Choices
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
"""Module of `tlplug.commands` that defines each command."""
OFTEN_SET = """\
Often set: seed= run_dir= model.source= data.path= data.columns.text= data.limit.train= trainer.max_epochs=
optimizer.learning_rate= trainer.devices= transfer.baselines=[...] and strategy.<field>. All keys: --cfg job."""


class Root(click.Group):
    """The group of all commands. Each is imported on use; words without a command are arguments of `train`."""

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
        """Write the help: commands and flags, then the choices of each config group."""
        super().format_help(ctx, formatter)
        formatter.write(f"\n{Choices().overview()}\n\n{OFTEN_SET}\n")

    def shell_complete(
        self, ctx: click.Context, incomplete: str
    ) -> list[click.shell_completion.CompletionItem]:
        """Return matching commands, and matching overrides for the first `key=value` of a run."""
        return [*super().shell_complete(ctx, incomplete), *complete_override(incomplete, [])]


def unknown_command(word: str) -> str:
    """Return the message for an unknown command, with the most similar command and a list of all."""
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
    """Run one command line and print its error, if any.

    Returns:
        The exit code: 0 success, 1 a training that could not continue, 2 wrong usage or data, 130 Ctrl-C, 143 SIGTERM.
        Any other failure is raised as an exception; Python prints its traceback and exits with code 1.
    """
    if instruction := os.environ.get(COMPLETION):
        from tlplug.commands.completion import complete

        return complete(ROOT, instruction, COMPLETION)
    try:
        return run([without_dashes(word) for word in (sys.argv[1:] if words is None else words)])
    except UsageError as error:
        print(f"tlplug: {error}", file=sys.stderr)
        return USAGE
    except TrainingFailed as error:
        # The traceback is in the run's log. Of several processes that fail for one reason, the first reports it and the
        # others exit with 0: Lightning kills the first one as soon as another has failed.
        if message := str(error):
            show(message)
        return FAILED if message else 0
    except BrokenPipeError:
        # The reader of the output closed the pipe; Python would report it again at exit.
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
    """Print an error message; the terminal may be closed."""
    from tlplug.runtime.console import print_error

    print_error(f"tlplug: {message}")


def run(words: list[str]) -> int:
    """Run a command and return its exit code; click's own `main` would handle exceptions that `main` prints.

    Raises:
        UsageError: a flag or argument is unknown, wrong or missing.
    """
    try:
        with ROOT.make_context(PROGRAM, words) as ctx:
            return ROOT.invoke(ctx) or 0
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.NoSuchOption as error:
        # All options share the dashes, so a hint needs a higher similarity.
        hint = did_you_mean(error.option_name, error.possibilities or (), cutoff=0.7)
        raise UsageError(f"No such option {error.option_name!r}.{hint}") from error
    except click.UsageError as error:
        usage = f"\n\n{error.ctx.get_usage()}" if error.ctx is not None else ""
        raise UsageError(f"{error.format_message()}{usage}") from error
