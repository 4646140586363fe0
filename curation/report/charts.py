"""The charts of the report: SVG drawn by matplotlib, in the colours of the page's theme.

matplotlib draws in placeholder colours, which are then replaced by CSS variables. Text stays text.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

import numpy as np
from matplotlib.figure import Figure

from curation import plots
from curation.calibration.plot import draw_precision
from curation.calibration.thresholds import PRIOR, ScoredPairs
from curation.plots import Density, Style
from curation.report.funnel import FunnelStep
from curation.report.throughput import PoolThroughput
from curation.report.yields import TagYield
from curation.text_safety import escape_invisible

# Stand-ins, and the variables of page.css that they become.
_INK, _GRID = "#010101", "#020202"
_FIRST, _SECOND, _THIRD, _FOURTH = "#030303", "#040404", "#050505", "#060606"
_VARIABLES = {
    _INK: "--ink", _GRID: "--grid", _FIRST: "--first", _SECOND: "--second", _THIRD: "--third",
    _FOURTH: "--fourth",
}  # fmt: skip
_SERIES: tuple[Style, ...] = (
    {"color": _FIRST, "linestyle": "-"},
    {"color": _SECOND, "linestyle": "--"},
    {"color": _THIRD, "linestyle": "-."},
    {"color": _FOURTH, "linestyle": ":"},
)
# Of the precision and of the share kept, which is that of the matched.
_PRECISION_STYLES: tuple[Style, ...] = (
    {"color": _FOURTH, "linestyle": "-"},
    {"color": _FIRST, "linestyle": "--"},
)

# Narrow, so that on a telephone the text is large enough to be read.
_WIDTH_IN = 5.6
_SETTINGS = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # a tag may hold a dollar
    "font.size": 10,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _GRID,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "legend.frameon": False,
    "savefig.transparent": True,
}
_SVG = "http://www.w3.org/2000/svg"
_XLINK = "http://www.w3.org/1999/xlink"
_LEGEND: dict[str, Any] = {
    "loc": "lower left", "bbox_to_anchor": (0, 1), "ncols": 4, "fontsize": 9, "columnspacing": 1.0,
    "handlelength": 2.0, "handletextpad": 0.5, "borderaxespad": 0.3,
}  # fmt: skip
_UNITS_S = ((86400.0, "days"), (3600.0, "hours"), (60.0, "minutes"), (1.0, "seconds"))


def funnel_chart(name: str, steps: Sequence[FunnelStep]) -> str:
    """Draw a bar for the number left after each step, with one colour for each unit."""
    units = list(dict.fromkeys(step.unit for step in steps))
    colors = [_SERIES[units.index(step.unit)]["color"] for step in steps]
    summary = "; ".join(f"{step.name}: {step.remaining} {step.unit}" for step in steps)
    labels = [step.label for step in steps]
    bars = _Bars(labels, [step.remaining for step in steps], colors, "{:,.0f}")
    return _render_chart(name, "From listed clips to pairs", summary, bars.height_in, bars.draw)


def root_yield_chart(name: str, yields: Sequence[TagYield]) -> str:
    """Draw a bar for each root of the ontology: the share of its clips that have a pair."""
    summary = "; ".join(f"{each.name}: {each.share:.1%} of {each.clips} clips" for each in yields)
    shares = [100 * each.share for each in yields]
    bars = _Bars([each.name for each in yields], shares, [_FIRST] * len(yields), "{:.1f} %")
    title = "Clips that came to a pair, in percent, by root"
    return _render_chart(name, title, summary, bars.height_in, bars.draw)


def score_chart(
    name: str,
    title: str,
    densities: Sequence[Density],
    threshold: float | None,
    pairs: ScoredPairs | None = None,
) -> str:
    """Draw the densities of a score, with a threshold.

    A second chart below shows the effect of the threshold on `pairs`.
    """

    def draw(figure: Figure) -> None:
        if pairs:
            above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
            draw_precision(below, pairs, PRIOR, _PRECISION_STYLES)
            below.legend(**_LEGEND)
        else:
            above = below = figure.subplots()
        plots.draw_densities(above, densities, _SERIES)
        below.set_xlabel(title)
        for axes in dict.fromkeys((above, below)):
            if threshold is not None:
                plots.draw_threshold(axes, threshold)
        above.legend(**_LEGEND)

    summary = "; ".join(_summary(density) for density in densities)
    at = "" if threshold is None else f"; threshold {threshold:.3f}"
    more = "; below, precision and the share kept at each threshold" if pairs else ""
    return _render_chart(name, title, summary + at + more, 4.8 if pairs else 2.8, draw)


def throughput_chart(name: str, speed: PoolThroughput) -> str:
    """Draw the clips per second of each pool over time."""
    unit_s, unit = next(each for each in _UNITS_S if speed.edges_s[-1] >= each[0] or each[0] == 1)

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for (pool, rates), style in zip(speed.rates.items(), _SERIES, strict=False):
            edges = speed.edges_s / unit_s
            axes.stairs(rates, edges, label=escape_invisible(pool), linewidth=1.8, **style)
        axes.set(xlabel=f"{unit} since the beginning", ylabel="clips a second")
        axes.set_ylim(bottom=0)
        axes.legend(**_LEGEND)

    summary = "; ".join(f"{pool}: at most {rates.max():.2f}" for pool, rates in speed.rates.items())
    return _render_chart(name, "Clips a second over time, by pool", summary, 2.4, draw)


@dataclass(frozen=True)
class _Bars:
    """Horizontal bars, each with its label on the left and its value on the right."""

    labels: Sequence[str]
    values: Sequence[float]
    colors: Sequence[str]
    format: str

    @property
    def height_in(self) -> float:
        return 0.3 + 0.32 * len(self.values)

    def draw(self, figure: Figure) -> None:
        axes = figure.subplots()
        places = range(len(self.values))  # two labels may be alike
        bars = axes.barh(places, self.values, color=self.colors, height=0.7)
        axes.bar_label(bars, [self.format.format(value) for value in self.values], padding=4)
        axes.set_yticks(places, [escape_invisible(label) for label in self.labels])
        axes.invert_yaxis()
        axes.set_xlim(0, 1.18 * max([*self.values, 1e-9]))
        axes.spines[:].set_visible(False)
        axes.tick_params(bottom=False, labelbottom=False, left=False)


def _summary(density: Density) -> str:
    quarters = np.percentile(density.values, (25, 50, 75))
    quartiles = ", ".join(f"{value:.3f}" for value in quarters)
    return f"{density.name}: {len(density.values)} values, quartiles {quartiles}"


def _render_chart(
    name: str, title: str, description: str, height_in: float, draw: Callable[[Figure], None]
) -> str:
    return _inline_svg(
        plots.render_svg(_SETTINGS, (_WIDTH_IN, height_in), draw), name, title, description
    )


def _inline_svg(svg: bytes, name: str, title: str, description: str) -> str:
    """The svg as an element of a page: named, described, and its ids its own."""
    root = ElementTree.fromstring(svg)
    for parent in list(root.iter()):
        for child in list(parent):
            # Metadata, and a style that would be the whole page's.
            if child.tag == f"{{{_SVG}}}metadata" or child.find(f"{{{_SVG}}}style") is not None:
                parent.remove(child)
    for size in ("width", "height"):
        del root.attrib[size]
    root.set("role", "img")
    root.set("aria-labelledby", f"{name}-title {name}-desc")
    for tag, text in (("desc", description), ("title", title)):
        element = ElementTree.Element(f"{{{_SVG}}}{tag}", {"id": f"{tag}"})
        element.text = escape_invisible(text)
        root.insert(0, element)
    _name_ids(root, f"{name}-")
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", _XLINK)
    return _apply_theme(ElementTree.tostring(root, encoding="unicode"))


def _name_ids(root: ElementTree.Element, prefix: str) -> None:
    for element in root.iter():
        for key, value in element.attrib.items():
            if key == "id":
                element.set(key, prefix + value)
            elif key == f"{{{_XLINK}}}href":
                element.set(key, value.replace("#", f"#{prefix}"))
            else:
                element.set(key, value.replace("url(#", f"url(#{prefix}"))


def _apply_theme(svg: str) -> str:
    for color, variable in _VARIABLES.items():
        svg = svg.replace(color, f"var({variable})")
    return re.sub(r"font: ([\d.]+px) [^;\"]*", r"font: \1 var(--sans)", svg)
