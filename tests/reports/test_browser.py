"""The reports in a browser: nothing is fetched, nothing fails, it fits a phone, and its text can be read.

Skipped where Chromium, its driver or selenium is missing.
"""

import json
import shutil

import pytest

from tests.commands.sample_runs import make_sweep
from tests.commands.test_compare import sample_comparison
from tests.commands.test_rank import ALL, sample_ranking
from tests.reports.sample_run_data import RUNS
from tlplug.commands.compare.page import make_report as report_of_comparison
from tlplug.commands.rank.page import make_report as report_of_ranking
from tlplug.commands.report.report import gather
from tlplug.reports.html import page
from tlplug.reports.run_data import Material
from tlplug.reports.run_report import make_report

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
selenium = pytest.importorskip("selenium")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="Chromium or chromedriver is missing"),
]
PHONE, DESKTOP = 390, 1100
GATHERED, COMPARED, RANKED = "gathered", "compared", "ranked"
PAGES = [*RUNS, GATHERED, COMPARED, RANKED]
"""Reports of single runs, one of several, and those of `compare` and `rank`."""

# Every text node with its contrast to what it stands on. Colours are painted to be read, for a browser may tell them
# in any notation; what lies behind is laid over each other from the root, in an SVG the shapes painted before too.
CONTRASTS = """
const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
function rgba(colour) {
  canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
  const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255];
}
const over = (top, below) => [0, 1, 2].map(i => top[i] * top[3] + below[i] * (1 - top[3]));
function luminance(colour) {
  const [r, g, b] = colour.map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
function behind(element) {
  let colour = [255, 255, 255]; const chain = [];
  for (let e = element; e; e = e.parentElement) chain.unshift(e);
  for (const e of chain) colour = over(rgba(getComputedStyle(e).backgroundColor), colour);
  return colour;
}
function painted(text, colour) {
  const box = text.getBoundingClientRect(), x = box.x + box.width / 2, y = box.y + box.height / 2;
  for (const shape of text.ownerSVGElement.querySelectorAll('path')) {
    if (!(shape.compareDocumentPosition(text) & Node.DOCUMENT_POSITION_FOLLOWING) || shape.closest('defs')) continue;
    const b = shape.getBoundingClientRect(), style = getComputedStyle(shape);
    if (style.fill === 'none' || x < b.x || x > b.right || y < b.y || y > b.bottom) continue;
    const [r, g, blue, a] = rgba(style.fill);
    colour = over([r, g, blue, a * style.opacity * style.fillOpacity], colour);
  }
  return colour;
}
document.querySelectorAll('details').forEach(d => d.open = true);
const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = [];
while (walk.nextNode()) {
  const node = walk.currentNode, element = node.parentElement;
  if (!node.data.trim() || element.closest('style, script') || !element.getClientRects().length) continue;
  const style = getComputedStyle(element), svg = element.ownerSVGElement;
  const below = svg ? painted(element, behind(svg)) : behind(element);
  const ink = over(rgba(svg ? style.fill : style.color), below);
  const [high, low] = [luminance(ink), luminance(below)].sort((a, b) => b - a);
  const size = parseFloat(style.fontSize), large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
  found.push({text: node.data.trim().slice(0, 40), ratio: (high + 0.05) / (low + 0.05), needed: large ? 3 : 4.5,
    svg: !!svg, heat: !!svg && below.join() !== behind(svg).join() || element.matches('.heat')});
}
return found;
"""


@pytest.fixture(scope="module")
def browser():
    from selenium import webdriver
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    options = Options()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("reports")
    for name, maker in RUNS.items():
        (made / f"{name}.html").write_text(page(make_report(Material(*maker()))), encoding="utf-8")
    gather([make_sweep(made / "sweep", tasks=("sentiment", "topic"))], made / "gathered")
    (made / "gathered" / "report.html").rename(made / f"{GATHERED}.html")
    (made / f"{COMPARED}.html").write_text(page(report_of_comparison(sample_comparison())), encoding="utf-8")
    (made / f"{RANKED}.html").write_text(page(report_of_ranking(sample_ranking(*ALL))), encoding="utf-8")
    return made


def opened(browser, file, width=PHONE, scheme="light", media="screen"):
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia",
        {"media": media, "features": [{"name": "prefers-color-scheme", "value": scheme}]},
    )
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": False},
    )
    browser.get_log("performance"), browser.get_log("browser")
    browser.get(file.as_uri())
    return browser


@pytest.mark.parametrize("name", PAGES)
def test_nothing_is_fetched_and_nothing_fails(browser, folder, name):
    opened(browser, folder / f"{name}.html")
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    assert (folder / f"{name}.html").as_uri() in asked, "requests are heard of at all"
    assert all(url == (folder / f"{name}.html").as_uri() or url.startswith("data:") for url in asked)
    assert browser.get_log("browser") == []
    assert browser.execute_script("return document.scripts.length") == 0


@pytest.mark.parametrize("width", [320, PHONE, DESKTOP])
@pytest.mark.parametrize("name", PAGES)
def test_the_page_does_not_scroll_sideways(browser, folder, name, width):
    opened(browser, folder / f"{name}.html", width)
    browser.execute_script("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    # Nor is anything cut off but what scrolls in a box of its own.
    beyond = """return [...document.querySelectorAll('main *')].filter(e => !e.closest('.wide') && !e.closest('defs')
      && e.getBoundingClientRect().right > innerWidth + 0.5).map(e => e.outerHTML.slice(0, 80))"""
    assert browser.execute_script(beyond) == []


@pytest.mark.parametrize("media", ["screen", "print"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_all_text_has_the_contrast_of_wcag_aa(browser, folder, name, scheme, media):
    opened(browser, folder / f"{name}.html", DESKTOP, scheme, media)
    found = browser.execute_script(CONTRASTS)
    assert len(found) > 60
    if name == "everything":
        assert sum(each["svg"] for each in found) > 30 and sum(each["heat"] for each in found) > 10
    assert [each for each in found if each["ratio"] < each["needed"]] == []


def test_dark_is_dark_and_paper_is_light(browser, folder):
    ground = "return getComputedStyle(document.body).backgroundColor"
    file = folder / "everything.html"
    seen = [
        opened(browser, file, scheme=scheme, media=media).execute_script(ground)
        for scheme, media in (("light", "screen"), ("dark", "screen"), ("dark", "print"))
    ]
    assert seen == ["rgb(252, 252, 251)", "rgb(21, 24, 27)", "rgb(255, 255, 255)"]


def test_text_in_charts_can_be_read_on_a_phone(browser, folder):
    opened(browser, folder / "everything.html")
    sizes = browser.execute_script(
        """return [...document.querySelectorAll('svg text')].map(t => parseFloat(getComputedStyle(t).fontSize)
        * t.ownerSVGElement.getBoundingClientRect().width / t.ownerSVGElement.viewBox.baseVal.width)"""
    )
    assert len(sizes) > 30 and min(sizes) >= 11


@pytest.mark.parametrize("name", ["everything", GATHERED, COMPARED])
def test_no_text_of_a_chart_is_cut_off(browser, folder, name):
    opened(browser, folder / f"{name}.html")
    cut = """return [...document.querySelectorAll('svg text')].filter(t => { const a = t.getBoundingClientRect(),
      b = t.ownerSVGElement.getBoundingClientRect(); return a.left < b.left - 1 || a.right > b.right + 1
      || a.top < b.top - 1 || a.bottom > b.bottom + 1 }).map(t => t.textContent)"""
    assert browser.execute_script(cut) == []
