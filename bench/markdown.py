"""Write figures as Markdown."""

from __future__ import annotations

from typing import Any

Results = dict[str, Any]


def measured_by(results: Results) -> str:
    return f"`{results['command']}`, with {listed(results['machine'])}. {results.get('note', '')}".rstrip()


def listed(values: Results) -> str:
    return ", ".join(f"{name} {'all' if value is None else value}" for name, value in values.items())


def table(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, ["---"] * len(head), *rows])
