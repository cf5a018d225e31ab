"""How figures are written for a person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

ON_ITS_WAY = 100
"""Up to so many seconds or minutes, a duration is told in these."""


def percent_of(part: float, whole: float) -> str:
    """`100%`, `1.5%`, `0.0034%`: two digits that matter."""
    share = 100 * part / whole
    return f"{share:.0f}%" if share >= 10 else f"{float(f'{share:.2g}')}%"


def figure(score: float, scale: int) -> str:
    """Format a score times its scale: a share as percent, a perplexity as it is; one decimal below 1000."""
    return f"{scale * score:z,.{digits(scale * score)}f}"


def signed(difference: float, scale: int) -> str:
    """Format a difference of scores: `+4.0`."""
    return f"{scale * difference:+z,.{digits(scale * difference)}f}"


def digits(value: float) -> int:
    return 0 if abs(value) >= 1000 else 1


def interval(low: float, high: float, scale: int) -> str:
    """Differences of scores: `-1.5 to +4.0`."""
    return f"{signed(low, scale)} to {signed(high, scale)}"


def ends(score: Mapping[str, float], scale: int) -> str:
    """Return the interval of a score: `70.9 to 82.7`."""
    return f"{figure(score['low'], scale)} to {figure(score['high'], scale)}"


def unit(name: str, scale: int) -> str:
    """Return a score's name with the number that its figures are multiplied by, if there is one."""
    return f"{name} \u00d7 {scale}" if scale != 1 else name


def listed(names: Sequence[str]) -> str:
    """Return names as in a sentence: `a, b and c`."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def duration(seconds: float) -> str:
    """`4.2 s`, `45 s`, `3.1 min`, `2.5 h`."""
    for unit, size in (("s", 1), ("min", 60), ("h", 3600)):
        if seconds < ON_ITS_WAY * size or unit == "h":
            value = seconds / size
            return f"{value:.0f} {unit}" if value >= 10 else f"{value:.1f} {unit}"
    raise AssertionError
