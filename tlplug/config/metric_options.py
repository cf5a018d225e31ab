"""Build metrics from `metric=[...]` and `metric.<name>.<field>=...`, without composing a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from tlplug.config.job import OURS, instance
from tlplug.config.overrides import parse
from tlplug.errors import UsageError, no_such
from tlplug.interfaces import TransferMetric
from tlplug.interfaces.registry import Plugin, Registry

GROUP = "metric"


def metrics_of(words: Sequence[str]) -> dict[str, TransferMetric]:
    """Return the selected metrics by name.

    Raises:
        UsageError: none is selected, or a name, field or value does not exist.
    """
    names, fields = split_overrides(words)
    registry = Registry()
    plugins = {name: registry.find(GROUP, name) for name in names}
    nodes = {name: node_of(plugin) for name, plugin in plugins.items()}
    for key, value, line in fields:
        name, _, field = key.partition(".")
        if not field:
            raise UsageError(f"'{line}': say which field of {name}: metric.{name}.<field>=...")
        if name not in nodes:
            raise UsageError(f"'{line}': {no_such('metric here', name, nodes)}")
        if field not in nodes[name]:
            raise UsageError(f"'{line}': {no_such(f'field of {name}', field, nodes[name])}")
        try:
            nodes[name][field] = value
        except OmegaConfBaseException as error:
            raise UsageError(f"'{line}': {str(error).splitlines()[0]}") from error
    return {name: instance(plugin, nodes[name]) for name, plugin in plugins.items()}


def metrics_again(
    config: Mapping[str, Any], later: Mapping[str, Any], names: Iterable[str]
) -> dict[str, TransferMetric]:
    """Return metrics of a finished run with their latest fields; one that is no longer installed is left out.

    Args:
        config: of the run.
        later: fields of metrics that were measured after it, by the metrics' names.
    """
    registry, nodes = Registry(), {**(config.get(GROUP) or {}), **later}
    metrics = {}
    for name in names:
        fields = {key: value for key, value in (nodes.get(name) or {}).items() if key not in OURS}
        if name in registry.names(GROUP):
            plugin = registry.find(GROUP, name)
            metrics[name] = instance(plugin, OmegaConf.merge(node_of(plugin), fields))  # type: ignore[arg-type]
    return metrics


def node_of(plugin: Plugin) -> DictConfig:
    cls: Any = plugin.load()
    node: DictConfig = OmegaConf.structured(cls.Config)
    return node


def split_overrides(words: Sequence[str]) -> tuple[list[str], list[tuple[str, Any, str]]]:
    """Return the selected names, and for each field its key below `metric`, its value and the override as typed."""
    names: list[str] = []
    fields = []
    for override in parse([word.lstrip("+") for word in words]):
        key, value = override.key_or_group, override.value()
        if key == GROUP:
            names += value if isinstance(value, list) else [value]
        else:
            fields.append((key.removeprefix(f"{GROUP}."), value, override.input_line))
    if not names:
        raise UsageError("say which metrics: metric=[cka,logme]; `python -m tlplug plugins list` shows them")
    return list(dict.fromkeys(map(str, names))), fields
