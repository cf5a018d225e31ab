"""report.html and report.md of a comparison, in the manner of a run's own."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from importlib.resources import files
from typing import Any

from tlplug.gather.sections import glance, sections
from tlplug.report import markdown as marks
from tlplug.report import page as pages
from tlplug.report.blocks import Table


def title(gathered: Mapping[str, Any]) -> str:
    tasks = gathered["tasks"]
    return f"{tasks[0]['task'] if len(tasks) == 1 else f'{len(tasks)} tasks'}: runs compared"


def page(gathered: Mapping[str, Any]) -> str:
    """The whole document, from what is in gathered.json."""
    name = escape(title(gathered))
    style = files("tlplug.report").joinpath("style.css").read_text(encoding="utf-8")
    tiles = "".join(
        f"<div><dt>{escape(fact.name)}</dt><dd><strong>{escape(fact.value)}</strong> "
        f"<span>{escape(fact.meaning)}</span></dd></div>"
        for fact in glance(gathered)
    )
    first, *tasks = [pages.words(line) for line in verdicts(gathered)]
    verdict = f"<p>{first}</p>" + "".join(f'<p class="caution">{line}</p>' for line in tasks)
    body = "\n".join(map(pages.section, sections(gathered)))
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<link rel="icon" href="data:,">\n<title>{name}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n'
        f'<h1>{name}</h1>\n<section class="verdict" aria-label="Verdict">{verdict}</section>\n'
        f'<dl class="glance">{tiles}</dl>\n{body}\n</main>\n</body>\n</html>\n'
    )


def verdicts(gathered: Mapping[str, Any]) -> list[str]:
    """The sentence; of several tasks that of each on a line of its own."""
    tasks = [task["sentence"] for task in gathered["tasks"]]
    if len(tasks) == 1:
        return tasks
    return [gathered["sentence"].removesuffix(" " + " ".join(tasks)), *tasks]


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
