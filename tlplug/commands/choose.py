"""Define the commands `compare` and `rank`, which choose a strategy or a base model."""

from __future__ import annotations

import click

from tlplug.commands.arguments import Command, overrides

COMPARE_KEYS = {
    "strategies=[...]": "Strategies and presets, from the least invasive to the most.",
    "seeds=": "How many, from 0, or which: [3,4,5].",
    "target_score=": "Stop at the first strategy whose score reaches this.",
    "stop_early=false": "Run all, also where one gains nothing over the one before.",
    "tune_learning_rate=true": "Try several learning rates for each.",
    "learning_rate_factors=[...]": "Multiples of the strategy's own rate.",
    "strategy.<strategy>.<field>=": "A field of one of the strategies.",
}
RANK_KEYS = {
    "models=[...]": "Base models, two at least: presets, hub ids, folders, GGUF files.",
    "max_rows=": "At most so many training rows.",
    "metrics=[...]": "What the base models are ranked by.",
    "fine_tune_top=": "Fine-tune so many of the first, and the smallest; or all.",
    "strategy=": "What fine_tune_top trains with.",
}


@click.command(
    cls=Command, keys=COMPARE_KEYS, example="+task=sentiment strategies=[linear_probe,lora,full] seeds=3"
)
@click.option("--dry-run", is_flag=True, help="Show memory and time of each strategy, and stop.")
@overrides
def compare(keys: tuple[str, ...], dry_run: bool) -> int:
    """Find the lightest strategy that is good enough.

    Several are trained with the same seeds, so that their scores can be compared in pairs.
    KEY=VALUE is task=, a key below, or any key of a run.
    """
    from tlplug.commands.compare.plan import plan
    from tlplug.config.compose import Composer

    with Composer() as composer:
        planned = plan(composer, keys)
    from tlplug.commands.compare.compare import compare as run
    from tlplug.runtime.console import open_console
    from tlplug.runtime.signals import stop_on_signals

    with stop_on_signals():
        return run(planned, open_console(), dry_run=dry_run)


@click.command(cls=Command, keys=RANK_KEYS, example="+task=sentiment models=[minilm,smollm2]")
@overrides
def rank(keys: tuple[str, ...]) -> int:
    """Rank base models for a task before any of them is fine-tuned.

    They are ranked by what their features say of the labels.
    KEY=VALUE is task=, a key below, or any key of a run.
    """
    from tlplug.commands.rank.plan import plan
    from tlplug.config.compose import Composer

    with Composer() as composer:
        planned = plan(composer, keys)
    from tlplug.commands.rank.rank import rank as run
    from tlplug.runtime.console import open_console
    from tlplug.runtime.signals import stop_on_signals

    with stop_on_signals():
        return run(planned, open_console())
