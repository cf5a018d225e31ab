import pytest
from bias_and_norm import BiasAndNorm

from tlplug.testing import strategy_checks


@pytest.mark.parametrize("check", strategy_checks(), ids=str)
def test_conformance(check):
    check(BiasAndNorm)
