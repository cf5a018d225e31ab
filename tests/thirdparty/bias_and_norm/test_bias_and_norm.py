import importlib

import pytest

from tlplug.testing import strategy_checks


@pytest.mark.parametrize("check", strategy_checks(), ids=str)
def test_conformance(check):
    # Asked for by its name each time: another test may have loaded the module anew.
    check(importlib.import_module("bias_and_norm").BiasAndNorm)
