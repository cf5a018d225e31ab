"""Render report.html by the templates beside: one file that needs nothing else and holds no script."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from tlplug.reports.blocks import Report
from tlplug.reports.charts import style

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup


def page(report: Report) -> str:
    """Return the whole document."""
    return templates().get_template("page.html").render(report=report, style=style())


@cache
def templates() -> Environment:
    """Return the templates, in which every text is escaped but the stylesheet and the charts."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("tlplug.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"words": words, "breakable": breakable}
    return made


def words(text: str) -> Markup:
    """Return the text escaped, with what stands in backticks as code."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def breakable(name: str) -> Markup:
    """Return the name escaped, with places where a line may end."""
    from markupsafe import Markup, escape

    return escape(name).replace("_", Markup("_<wbr>"))
