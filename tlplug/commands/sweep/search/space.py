"""Build the space of a search from keys with several values, or from the preset of the strategy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.types import (
    ChoiceSweep,
    IntervalSweep,
    Override,
    RangeSweep,
    Transformer,
)

from tlplug.config.compose import Composer, plain_words
from tlplug.config.overrides import normalised, parse
from tlplug.errors import UsageError

GROUP = "space"
"""The config group of the presets: `conf/space/<strategy>.yaml`, also in other distributions, with a line for each key
and its values as a user types them."""
DIGITS = 4
"""Significant digits of a proposed number: more digits make no difference to training and are harder to read."""


@dataclass(frozen=True)
class Dimension:
    """A key and the distribution of its values."""

    key: str
    distribution: Any
    """An Optuna distribution."""

    def word(self, value: Any) -> str:
        """Return the key=value argument for a value."""
        return f"{self.key}={f'{value:.{DIGITS}g}' if isinstance(value, float) else value}"

    def suggested(self, trial: Any) -> Any:
        """Return the value that an Optuna trial proposes or already has."""
        of = self.distribution
        if hasattr(of, "choices"):
            return trial.suggest_categorical(self.key, of.choices)
        suggest = trial.suggest_int if isinstance(of.low, int) else trial.suggest_float
        return suggest(self.key, of.low, of.high, step=of.step, log=of.log)

    def first(self) -> Any:
        """Return the first choice, or the lower end of the range."""
        return (
            self.distribution.choices[0] if hasattr(self.distribution, "choices") else self.distribution.low
        )


@dataclass(frozen=True)
class Space:
    """The arguments that all runs of a search share, and those that are searched."""

    fixed: tuple[str, ...]
    searched: tuple[str, ...]
    """Arguments with several values."""

    def dimensions(self) -> list[Dimension]:
        """Return a dimension for each searched argument.

        Raises:
            UsageError: values cannot be searched, such as the logarithm of 0.
        """
        return [dimension(override) for override in parse(list(self.searched))]


def space_of(composer: Composer, words: Sequence[str]) -> Space:
    """Return the space of the arguments with several values, else that of the strategy's preset.

    Raises:
        UsageError: a key or choice does not exist, or there are neither several values nor a preset.
    """
    overrides = composer.check(words)
    fixed = tuple(override.input_line for override in overrides if not override.is_sweep_override())
    searched = tuple(override.input_line for override in overrides if override.is_sweep_override())
    return Space(fixed, searched or preset(composer, fixed))


def preset(composer: Composer, fixed: Sequence[str]) -> tuple[str, ...]:
    """Return the space of the strategy, or of the strategy that it is a preset of, without the keys in `fixed`.

    Raises:
        UsageError: there is no space, or all its keys are in `fixed`.
    """
    named = next(
        str(override.value()) for override in parse(list(fixed)) if override.key_or_group == "strategy"
    )
    lines = read(composer, named) or read(composer, composer.compose(fixed).strategy.name)
    if lines is None:
        raise UsageError(
            f"there is no space of strategy {named!r} to search: name at least one, such as "
            "'optimizer.learning_rate=tag(log,interval(1e-5,1e-3))' or data.batch_size=choice(8,16,32)"
        )
    typed = {word.partition("=")[0] for word in fixed}
    left = tuple(line for line in lines if line.partition("=")[0] not in typed)
    if not left:
        raise UsageError(f"every key of {GROUP}/{named} has one value: there is nothing to search")
    return left


def read(composer: Composer, name: str) -> list[str] | None:
    """Return the arguments of a preset; None if no distribution has a preset of this name."""
    for source in composer.loader.get_sources():
        if source.scheme() != "structured" and source.is_config(f"{GROUP}/{name}"):
            found = source.load_config(f"{GROUP}/{name}").config
            return [normalised(f"{key}={value}") for key, value in found.items()]
    return None


def dimension(override: Override) -> Dimension:
    """Convert the values of a Hydra override to a dimension with an Optuna distribution.

    Raises:
        UsageError: the values cannot be searched.
    """
    key, values = override.get_key_element(), override.value()
    try:
        if isinstance(values, IntervalSweep):
            return Dimension(key, between(values.start, values.end, "log" in values.tags))
        if isinstance(values, RangeSweep):
            return Dimension(key, steps(list(values.range()), "log" in values.tags))
        if isinstance(values, ChoiceSweep):
            return Dimension(key, choice(override.sweep_iterator(transformer=Transformer.str)))
    except ValueError as error:
        raise UsageError(f"'{override.input_line}' cannot be searched: {plain_words(error)}") from error
    raise UsageError(
        f"'{override.input_line}' cannot be searched: it takes choice(...), range(...) or interval(...)"
    )


def between(low: Any, high: Any, log: bool) -> Any:
    """Return the distribution between two ends, both included, of integers if both ends are integers."""
    from optuna.distributions import FloatDistribution, IntDistribution

    whole = isinstance(low, int) and isinstance(high, int)
    return IntDistribution(low, high, log=log) if whole else FloatDistribution(low, high, log=log)


def steps(values: Sequence[Any], log: bool) -> Any:
    """Return the distribution of equally spaced values; with `log`, the whole range on a log scale."""
    from optuna.distributions import FloatDistribution, IntDistribution

    if not values:
        raise ValueError("it is empty")
    low, high = min(values), max(values)
    if log:
        return between(low, high, log)
    step = abs(values[1] - values[0]) if len(values) > 1 else 1
    whole = all(isinstance(value, int) for value in values)
    return IntDistribution(low, high, step=step) if whole else FloatDistribution(low, high, step=step)


def choice(values: Iterable[Any]) -> Any:
    """Return the distribution of unordered choices, as strings."""
    from optuna.distributions import CategoricalDistribution

    return CategoricalDistribution([str(value) for value in values])
