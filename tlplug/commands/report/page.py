"""report.html and report.md of a comparison, in the manner of a run's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tlplug.commands.report.sections import glance, sections
from tlplug.reports import html as pages
from tlplug.reports import markdown as marks
from tlplug.reports.blocks import Table


def title(gathered: Mapping[str, Any]) -> str:
    tasks = gathered["tasks"]
    return f"{tasks[0]['task'] if len(tasks) == 1 else f'{len(tasks)} tasks'}: runs compared"


def page(gathered: Mapping[str, Any]) -> str:
    """The whole document, from what is in comparison.json."""
    first, *tasks = [pages.words(line) for line in verdicts(gathered)]
    verdict = f"<p>{first}</p>" + "".join(f'<p class="advice">{line}</p>' for line in tasks)
    above = (
        f'<section class="verdict" aria-label="Verdict">{verdict}</section>\n{pages.tiles(glance(gathered))}'
    )
    return pages.document(title(gathered), "\n".join([above, *map(pages.section, sections(gathered))]))


def verdicts(gathered: Mapping[str, Any]) -> list[str]:
    """The sentence; of several tasks that of each on a line of its own."""
    tasks = [task["summary"] for task in gathered["tasks"]]
    if len(tasks) == 1:
        return tasks
    return [gathered["summary"].removesuffix(" " + " ".join(tasks)), *tasks]


def markdown(gathered: Mapping[str, Any]) -> str:
    """The same where Markdown is shown; charts stand as their tables."""
    facts = glance(gathered)
    parts = [
        f"# {marks.plain(title(gathered))}",
        *(f"**{marks.plain(line)}**" for line in verdicts(gathered)),
        marks.grid(Table("", [f.name for f in facts], [[f"{f.value} ({f.meaning})" for f in facts]])),
        *(marks.section(each) for each in sections(gathered)),
    ]
    return "\n\n".join(parts) + "\n"
