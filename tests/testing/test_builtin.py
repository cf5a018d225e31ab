"""Every built-in plugin passes the kit."""

import pytest

from tlplug import PluginError
from tlplug.interfaces.registry import Registry
from tlplug.testing import head_checks, metric_checks, strategy_checks

CHECKS = {"strategy": strategy_checks(), "head": head_checks(), "metric": metric_checks()}
LONG = {"works_unless_refused"}
"""What the matrix of heads and strategies covers with whole runs."""
PLUGINS = [plugin for plugin in Registry().plugins if plugin.distribution == "tlplug"]


@pytest.mark.parametrize(
    ("plugin", "check"),
    [
        pytest.param(
            plugin,
            check,
            id=f"{plugin.kind}-{plugin.name}-{check}",
            marks=[pytest.mark.slow] if check.slow or check.name in LONG else [],
        )
        for plugin in PLUGINS
        for check in CHECKS[plugin.kind]
    ],
)
def test_a_built_in_plugin_passes(plugin, check):
    check(plugin.load())


def test_all_of_them_load():
    broken = []
    for plugin in PLUGINS:
        try:
            plugin.load()
        except PluginError as error:
            broken.append(str(error))
    assert not broken
