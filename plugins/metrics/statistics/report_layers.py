"""Format the values of metrics by layer for the report."""

from __future__ import annotations

from collections.abc import Mapping

from tlplug import NotMeasured


def by_layer(values: Mapping[str, float | NotMeasured], pattern: str) -> dict[int, float]:
    """Return the measured values whose keys are `pattern` with the layer's number in it, by layer."""
    before, after = pattern.split("{}")
    layers: dict[int, float] = {}
    for key, value in values.items():
        layer = key[len(before) : len(key) - len(after)]
        matches = key.startswith(before) and key.endswith(after) and layer.isdigit()
        if matches and not isinstance(value, NotMeasured):
            layers[int(layer)] = value
    return layers


def three(value: float) -> str:
    """Return the value with three decimals."""
    return f"{value:.3f}"


def percent(value: float) -> str:
    """Return a share in percent."""
    return f"{100 * value:.1f}%"
