"""Plugins whose file imports torch to be listed."""

import torch  # noqa: F401

from tests.testing import sound


class HeavyStrategy(sound.SoundStrategy):
    """Heavy."""


class HeavyHead(sound.SoundHead):
    """Heavy."""


class HeavyMetric(sound.SoundMetric):
    """Heavy."""
