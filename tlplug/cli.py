"""`python -m tlplug`: words of the command line -> a command. Nothing here imports torch."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Sequence

from tlplug.errors import Stopped, TrainingFailed, UsageError, did_you_mean

FAILED, USAGE, INTERRUPTED = 1, 2, 130
FINISHED = ("evaluate", "predict", "export", "metrics", "report")
COMMANDS = ("train", "compare", "rank", "resume", "plugins", *FINISHED)

HELP = """\
Adapt a pretrained model to your data, and know what you got.

  python -m tlplug +strategy=STRATEGY +task=TASK [key=value ...]     train, measure, report
  python -m tlplug -m +strategy=lora,full +task=TASK seed=1,2,3      every combination, each in a process of its own
  python -m tlplug compare +task=TASK [strategies=[...]]             the lightest strategy that is good enough
  python -m tlplug rank +task=TASK models=[a,b,...]                  which base model, before any is fine-tuned
  python -m tlplug resume RUN                                        go on with a run that was cut off
  python -m tlplug evaluate RUN [data.path=...]                      scores of a finished run on other data
  python -m tlplug predict RUN --input FILE|- | --text "..."         JSON Lines in, JSON Lines out
  python -m tlplug metrics RUN metric=[...]                          further metrics of a finished run
  python -m tlplug report RUN... | SWEEP_DIR                         finished runs in one comparison; one run's page
  python -m tlplug export RUN OUT [--merge] [--push owner/name]      for plain transformers and peft
  python -m tlplug plugins list                                      plugins, with where they come from
  python -m tlplug plugins check NAME                                whether a plugin is sound
  python -m tlplug plugins new NAME --kind strategy|head|metric      a package to write one in

  --dry-run     of compare: memory and time of each strategy, and stop
  --cfg job     show the composed config and stop
  -m            several values for a key: run them all
  --version     show the version
  --help        this; after a command, its own help

{groups}

Often set: seed= run_dir= model.source= data.path= data.columns.text= data.limit.train= trainer.max_epochs=
optimizer.learning_rate= trainer.devices= transfer.baselines=[...] and strategy.<field>. All: --cfg job.
Of compare: strategies=[...] seeds= target_score= stop_early= tune_learning_rate= learning_rate_factors=[...]
and strategy.<strategy>.<field>.
Of rank: models=[...] max_rows= metrics=[...] fine_tune_top= strategy="""


def main(words: Sequence[str] | None = None) -> int:
    """Run one command line.

    Returns:
        The exit code: 0 done, 1 a training that could not go on, 2 wrong usage or data, 130 Ctrl-C, 143 SIGTERM. Any other
        failure while running is an exception, whose traceback Python prints with exit code 1.
    """
    words = list(sys.argv[1:] if words is None else words)
    try:
        return command(words)(words)
    except UsageError as error:
        print(f"tlplug: {error}", file=sys.stderr)
        return USAGE
    except TrainingFailed as error:
        # Its traceback is in the run's log. Of several processes that stop for one reason, the first tells it, and the
        # others end as if all were well: Lightning kills the first one as soon as another has failed.
        if told := str(error):
            from tlplug.runtime.console import print_error

            print_error(f"tlplug: {told}")
        return FAILED if told else 0
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
        from tlplug.runtime.console import print_error

        print_error(f"tlplug: {stopped}")
        return stopped.code
    except KeyboardInterrupt:
        print("tlplug: interrupted", file=sys.stderr)
        return INTERRUPTED


def command(words: list[str]) -> Callable[[list[str]], int]:
    """Return what the words ask for: a command by its name, a flag, or training."""
    first = words[0] if words else ""
    named = {"resume": resume, "plugins": plugins, "compare": compare, "rank": rank}
    if first in FINISHED:
        return finished
    if first in named:
        return named[first]
    if {"-h", "--help"} & set(words):
        return train if first == "train" else show_help
    if "--version" in words:
        return show_version
    if "--cfg" in words:
        return show_config
    if first not in ("", "train") and is_plain_word(first):
        raise UsageError(unknown_command(first))
    return train


def is_plain_word(word: str) -> bool:
    """Whether a word is neither a flag nor key=value."""
    return "=" not in word and not word.startswith(("-", "~"))


def unknown_command(word: str) -> str:
    """Name the nearest command, and all of them."""
    hint = did_you_mean(word, COMMANDS)
    return f"'{word}' is neither a command nor key=value.{hint} The commands are {', '.join(COMMANDS)}"


def finished(words: list[str]) -> int:
    """A command on a finished run, which parses the rest of the words itself."""
    from tlplug.commands import finished_runs as commands

    return int(getattr(commands, words[0])(words[1:]))


def show_help(words: list[str]) -> int:
    from tlplug.config.choices import Choices

    print(HELP.format(groups=Choices().overview()))
    return 0


def show_version(words: list[str]) -> int:
    from tlplug import __version__

    print(f"tlplug {__version__}")
    return 0


def show_config(words: list[str]) -> int:
    from omegaconf import OmegaConf

    from tlplug.config.compose import Composer

    at = words.index("--cfg")
    if words[at + 1 : at + 2] != ["job"]:
        raise UsageError("--cfg shows one thing: --cfg job")
    with Composer() as composer:
        print(OmegaConf.to_yaml(composer.compose(words[:at] + words[at + 2 :])), end="")
    return 0


def resume(words: list[str]) -> int:
    """Go on with a run that did not finish."""
    from tlplug.commands import train as unfinished

    return unfinished.resume(words[1:])


def plugins(words: list[str]) -> int:
    """`plugins list`, `check` or `new`, which parse the rest of the words themselves."""
    from tlplug.commands.plugins import commands as plugin_commands

    return plugin_commands.plugins(words[1:])


def train(words: list[str]) -> int:
    """The default command, which may be named; with `-m`, a sweep."""
    from tlplug.commands import train as training

    return training.train(words)


def compare(words: list[str]) -> int:
    """Strategies from the least invasive to the most; with `--dry-run`, what that is going to take."""
    from tlplug.commands.arguments import compare_parser

    given = compare_parser().parse(words[1:])
    from tlplug.commands.compare.plan import plan
    from tlplug.config.compose import Composer

    with Composer() as composer:
        planned = plan(composer, given.keys)
    from tlplug.commands.compare.compare import compare as run
    from tlplug.runtime.console import open_console
    from tlplug.runtime.signals import stop_on_signals

    with stop_on_signals():
        return run(planned, open_console(), dry_run=given.dry_run)


def rank(words: list[str]) -> int:
    """Base models by what a forward pass of each tells of the task."""
    from tlplug.commands.arguments import rank_parser

    given = rank_parser().parse(words[1:])
    from tlplug.commands.rank.plan import plan
    from tlplug.config.compose import Composer

    with Composer() as composer:
        planned = plan(composer, given.keys)
    from tlplug.commands.rank.rank import rank as run
    from tlplug.runtime.console import open_console
    from tlplug.runtime.signals import stop_on_signals

    with stop_on_signals():
        return run(planned, open_console())
