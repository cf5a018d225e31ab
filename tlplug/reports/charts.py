"""The pictures of a report, as inline SVG whose colours are those of the page around it."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from typing import Any

WIDTH, TEXT = 440, 15
"""In the units of the picture, which is drawn for a phone and grows from there."""

# Each stands in for a colour of the page, which is another one in the dark: matplotlib wants a real one.
COLOURS = {
    name: f"#0101{number:02x}"
    for number, name in enumerate(("ink", "soft", "line", "mark", "taken", "bad", "heat", "paper"), 1)
}
INK, SOFT, LINE, MARK, TAKEN, BAD, HEAT, PAPER = COLOURS.values()

# A line is told from another one by its dashes and its marker, not by colour alone.
QUALITIES = ("color", "facecolor", "edgecolor", "markerfacecolor", "markeredgecolor")
STYLES = (("-", "o"), ("--", "s"), (":", "^"), ("-.", "D"), ((0, (5, 1)), "v"), ((0, (1, 1)), "P"))


SVG, PNG = "svg", "png"


@contextmanager
def drawn(name: str, told: str, height: float, kind: str = SVG) -> Iterator[tuple[Any, list[Any]]]:
    """Axes to draw on; the list holds the SVG, or the bytes of a PNG, afterwards.

    Everything is drawn off screen, with no state kept.
    """
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    settings: Any = {
        "svg.fonttype": "none",
        "svg.hashsalt": name,
        "font.size": TEXT,
        # A label is no formula, though there be dollar signs in it.
        "text.parse_math": False,
        "axes.unicode_minus": True,
        "text.color": INK,
        "axes.labelcolor": SOFT,
        "axes.edgecolor": SOFT,
        "xtick.color": SOFT,
        "ytick.color": SOFT,
    }
    with matplotlib.rc_context(settings):
        figure = Figure(figsize=(WIDTH / 72, height / 72), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.subplots()
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.set_facecolor("none")
        written: list[Any] = []
        yield axes, written
        written.append(as_png(figure) if kind == PNG else inline(as_svg(figure), name, told))


def as_svg(figure: Any) -> str:
    file = io.StringIO()
    with warnings.catch_warnings():
        # Names may be wider than the page; then what is drawn is drawn all the same.
        warnings.filterwarnings("ignore", "constrained_layout not applied")
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    return file.getvalue()


def as_png(figure: Any) -> bytes:
    """In the colours of the page by day, for where no page is around it."""
    from matplotlib.colors import to_hex

    of_page = dict(re.findall(r"--(\w+): (#\w+)", first_rule(style())))
    light = {placeholder: of_page[colour] for colour, placeholder in COLOURS.items()}
    for artist in figure.findobj():
        for quality in QUALITIES:
            get, put = getattr(artist, f"get_{quality}", None), getattr(artist, f"set_{quality}", None)
            if get and put and to_hex(get()) in light:
                put(light[to_hex(get())])
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=144, facecolor=light[PAPER])
    return file.getvalue()


def style() -> str:
    """The page's."""
    return files("tlplug.reports").joinpath("style.css").read_text(encoding="utf-8")


def first_rule(css: str) -> str:
    return css[: css.index("}")]


def inline(svg: str, name: str, told: str) -> str:
    """A file of matplotlib's as an element of a page: the page's colours and font, ids that are this chart's own."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", svg, flags=re.DOTALL)
    box = re.search(r'viewBox="[^"]*"', svg)
    assert box is not None
    svg = re.sub(r"<svg[^>]*>", f'<svg {box[0]} role="img" aria-label="{escape(told)}">', svg, count=1)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'xlink:href="#', f'href="#{name}-', svg)
    svg = re.sub(r"url\(#", f"url(#{name}-", svg)
    svg = re.sub(r"font-family: [^;\"]*;? ?", "", svg)
    svg = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", svg)
    for colour, placeholder in COLOURS.items():
        svg = svg.replace(placeholder, f"var(--{colour})")
    return svg.strip()


@dataclass(frozen=True)
class Mark:
    """A value on its interval, in a row of its own."""

    name: str
    value: float
    low: float
    high: float
    colour: str = MARK
    seeds: Sequence[float] = ()
    """Single values, small below the row."""


def draw_marks(
    axes: Any, marks: Sequence[Mark], label: str, signs: bool = False, reference: float | None = None
) -> None:
    """Draw a dot on its interval for each.

    Args:
        signs: the values are differences; a dot is hollow where its interval holds zero.
        reference: where a dashed line stands.
    """
    for place, mark in enumerate(marks):
        fill = PAPER if signs and mark.low <= 0 <= mark.high else mark.colour
        dot = {"color": mark.colour, "markersize": 12, "markerfacecolor": fill, "markeredgewidth": 2.5}
        seed = {"color": INK, "markersize": 9, "markeredgewidth": 1.8}
        axes.plot([mark.low, mark.high], [place] * 2, color=mark.colour, linewidth=4, solid_capstyle="round")
        axes.plot([mark.value], [place], "o", **dot)
        axes.plot(mark.seeds, [place + 0.27] * len(mark.seeds), "|", **seed)
    if reference is not None:
        axes.axvline(reference, color=SOFT, linestyle=(0, (3, 3)), linewidth=1.2, zorder=0)
    axes.set_yticks(range(len(marks)), [mark.name for mark in marks])
    axes.set_ylim(len(marks) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.grid(axis="x", color=LINE)
    axes.set_axisbelow(True)
    axes.locator_params(axis="x", nbins=5)
    plus = "+" if signs else ""
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:{plus},g}" if round(value, 9) else "0")
    axes.set_xlabel(label)


def marks_height(marks: Sequence[Mark]) -> float:
    """Return the height of the picture that has room for them."""
    return 74 + 44 * len(marks)


def gains(told: str, rows: Sequence[tuple[str, float, float, float]], unit: str, kind: str = SVG) -> Any:
    """Draw each one's gain: its name, the gain, low and high."""
    marks = [
        Mark(f"over {name}", gain, low, high, TAKEN if low > 0 else BAD if high < 0 else MARK)
        for name, gain, low, high in rows
    ]
    with drawn("gains", told, marks_height(marks), kind) as (axes, written):
        draw_marks(axes, marks, f"gain in {unit}", signs=True, reference=0)
    return written[0]


def curves(
    told: str, lines: Mapping[str, Sequence[Sequence[float]]], unit: str, run: str, kind: str = SVG
) -> Any:
    """Score against examples seen, a line each."""
    with drawn("curve", told, 300, kind) as (axes, written):
        for number, (name, points) in enumerate(lines.items()):
            seen, scores = zip(*points, strict=True)
            dashes, marker = STYLES[number % len(STYLES)]
            own = name == run
            axes.plot(
                seen,
                scores,
                linestyle=dashes,
                marker=marker,
                color=TAKEN if own else INK if number == 1 else MARK,
                linewidth=2.6 if own else 1.8,
                markersize=6,
                label=name,
            )
        axes.grid(axis="y", color=LINE)
        axes.tick_params(axis="y", length=0)
        axes.locator_params(axis="both", nbins=5)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,g}")
        axes.set_xlabel("training examples seen")
        axes.set_title(unit, loc="left", fontsize=TEXT, color=SOFT)
        axes.figure.legend(loc="outside upper left", ncols=2, frameon=False, handlelength=3)
    return written[0]


def heat(
    told: str,
    layers: Sequence[str],
    columns: Mapping[str, Sequence[tuple[str, float] | None]],
    kind: str = SVG,
) -> Any:
    """Layers from the bottom up, a column a quantity; each cell has its figure and is shaded by 0 to 1."""
    with drawn("layers", told, 34 + 24 * len(layers), kind) as (axes, written):
        from matplotlib.patches import Rectangle

        for place, cells in enumerate(columns.values()):
            for height, cell in enumerate(cells):
                words, shade = ("—", 0.0) if cell is None else cell
                box = Rectangle((place + 0.02, height + 0.03), 0.96, 0.94, facecolor=HEAT, alpha=shade)
                axes.add_patch(box)
                axes.text(place + 0.5, height + 0.5, words, ha="center", va="center")
        axes.set_xlim(0, len(columns))
        axes.set_ylim(0, len(layers))
        axes.set_yticks([height + 0.5 for height in range(len(layers))], layers)
        axes.set_xticks([place + 0.5 for place in range(len(columns))], list(columns))
        axes.xaxis.tick_top()
        axes.tick_params(length=0)
        axes.spines["bottom"].set_visible(False)
    return written[0]
