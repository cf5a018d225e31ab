"""How figures are written for a person."""

from __future__ import annotations


def percent_of(part: float, whole: float) -> str:
    """`100%`, `1.5%`, `0.0034%`: two digits that matter."""
    share = 100 * part / whole
    return f"{share:.0f}%" if share >= 10 else f"{float(f'{share:.2g}')}%"


def percent(score: float) -> str:
    """A score in [0, 1] as percent with one decimal."""
    return f"{100 * score:.1f}"


def interval(low: float, high: float) -> str:
    """Differences of scores in points: `-1.5 to +4.0`."""
    return f"{100 * low:+.1f} to {100 * high:+.1f}"
