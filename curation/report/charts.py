"""The charts of the page: SVG drawn by matplotlib, in colours that follow the reader's theme.

What is drawn in a stand-in colour takes the colour of a CSS variable; text stays text.
"""

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np

from curation.report.funnel import Step
from curation.report.speed import Speed
from curation.report.yields import Yield
from curation.visible import visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Stand-ins, and the variables of page.css that they become.
_INK, _GRID = "#010101", "#020202"
_FIRST, _SECOND, _THIRD, _FOURTH = "#030303", "#040404", "#050505", "#060606"
_VARIABLES = {
    _INK: "--ink", _GRID: "--grid", _FIRST: "--first", _SECOND: "--second", _THIRD: "--third",
    _FOURTH: "--fourth",
}  # fmt: skip
_SERIES = ((_FIRST, "-"), (_SECOND, "--"), (_THIRD, "-."), (_FOURTH, ":"))

_WIDTH_IN = 7.2
_SETTINGS = {
    "svg.fonttype": "none",
    "svg.hashsalt": "tagscribe",
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
}
_SVG = "http://www.w3.org/2000/svg"
_XLINK = "http://www.w3.org/1999/xlink"
_BINS = 100
_ABOVE: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0, 1), "ncols": 4}
_UNITS_S = ((86400.0, "days"), (3600.0, "hours"), (60.0, "minutes"), (1.0, "seconds"))


@dataclass(frozen=True)
class Curve:
    """One distribution: how it is called, its values, and the area under it."""

    name: str
    values: np.ndarray
    area: float = 1.0


def funnel(name: str, steps: Sequence[Step]) -> str:
    """Bars of what each step left, a colour a unit."""
    units = list(dict.fromkeys(step.unit for step in steps))
    colors = [_SERIES[units.index(step.unit)][0] for step in steps]
    told = "; ".join(f"{step.name}: {step.left} {step.unit}" for step in steps)
    labels = [step.label for step in steps]
    bars = _Bars(labels, [step.left for step in steps], colors, "{:,.0f}")
    return _drawn(name, "From listed clips to pairs", told, bars.height_in, bars.plot)


def roots(name: str, yields: Sequence[Yield]) -> str:
    """Bars of the share of each root's clips that came to a pair."""
    told = "; ".join(f"{each.name}: {each.share:.1%} of {each.clips} clips" for each in yields)
    shares = [100 * each.share for each in yields]
    bars = _Bars([each.name for each in yields], shares, [_FIRST] * len(yields), "{:.1f} %")
    title = "Clips that came to a pair, in percent, by root"
    return _drawn(name, title, told, bars.height_in, bars.plot)


def distributions(
    name: str, title: str, axis: str, curves: Sequence[Curve], threshold: float | None
) -> str:
    """Densities over common bins, each times its curve's area, and the threshold as a line."""
    bins = np.histogram_bin_edges(np.concatenate([curve.values for curve in curves]), _BINS)
    width = bins[1] - bins[0]

    def plot(axes: "Axes") -> None:
        for curve, (color, line) in zip(curves, _SERIES, strict=False):
            counts, _ = np.histogram(curve.values, bins)
            heights = counts / len(curve.values) / width * curve.area
            axes.stairs(heights, bins, color=color, linestyle=line, linewidth=1.8, label=curve.name)
        if threshold is not None:
            axes.axvline(threshold, color=_INK, linewidth=1, label=f"threshold, {threshold:.3f}")
        axes.set(xlabel=axis, ylabel="density")
        axes.legend(**_ABOVE)

    told = "; ".join(_summary(curve) for curve in curves)
    at = "" if threshold is None else f"; threshold {threshold:.3f}"
    return _drawn(name, title, told + at, 3.2, plot)


def speed(name: str, speed: Speed) -> str:
    """Clips a second of each pool over time."""
    unit_s, unit = next(each for each in _UNITS_S if speed.edges_s[-1] >= each[0] or each[0] == 1)

    def plot(axes: "Axes") -> None:
        for (pool, rates), (color, line) in zip(speed.pools.items(), _SERIES, strict=False):
            axes.stairs(
                rates, speed.edges_s / unit_s, color=color, linestyle=line, linewidth=1.8,
                label=visible(pool),
            )  # fmt: skip
        axes.set(xlabel=f"{unit} since the beginning", ylabel="clips a second")
        axes.set_ylim(bottom=0)
        axes.legend(**_ABOVE)

    told = "; ".join(f"{pool}: at most {rates.max():.2f}" for pool, rates in speed.pools.items())
    return _drawn(name, "Clips a second over time, by pool", told, 2.8, plot)


@dataclass(frozen=True)
class _Bars:
    """Bars that lie, each with its label before and its value behind."""

    labels: Sequence[str]
    values: Sequence[float]
    colors: Sequence[str]
    form: str

    @property
    def height_in(self) -> float:
        return 0.3 + 0.32 * len(self.values)

    def plot(self, axes: "Axes") -> None:
        places = range(len(self.values))  # two labels may be alike
        bars = axes.barh(places, self.values, color=self.colors, height=0.7)
        axes.bar_label(bars, [self.form.format(value) for value in self.values], padding=4)
        axes.set_yticks(places, [visible(label) for label in self.labels])
        axes.invert_yaxis()
        axes.set_xlim(0, 1.18 * max([*self.values, 1e-9]))
        axes.spines[:].set_visible(False)
        axes.tick_params(bottom=False, labelbottom=False, left=False)


def _summary(curve: Curve) -> str:
    quarters = np.percentile(curve.values, (25, 50, 75))
    told = ", ".join(f"{value:.3f}" for value in quarters)
    return f"{curve.name}: {len(curve.values)} values, quartiles {told}"


def _drawn(
    name: str, title: str, description: str, height_in: float, plot: Callable[["Axes"], None]
) -> str:
    # Slow to import, and only this command draws.
    import matplotlib
    from matplotlib.figure import Figure

    file = io.BytesIO()
    with matplotlib.rc_context(_SETTINGS):
        figure = Figure(figsize=(_WIDTH_IN, height_in), layout="constrained")
        plot(figure.subplots())
        figure.savefig(file, format="svg", transparent=True)
    return _inlined(file.getvalue(), name, title, description)


def _inlined(svg: bytes, name: str, title: str, description: str) -> str:
    """The drawing as an element of a page: named, described, and its ids its own."""
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
        element.text = visible(text)
        root.insert(0, element)
    _name_ids(root, f"{name}-")
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", _XLINK)
    return _themed(ElementTree.tostring(root, encoding="unicode"))


def _name_ids(root: ElementTree.Element, prefix: str) -> None:
    for element in root.iter():
        for key, value in element.attrib.items():
            if key == "id":
                element.set(key, prefix + value)
            elif key == f"{{{_XLINK}}}href":
                element.set(key, value.replace("#", f"#{prefix}"))
            else:
                element.set(key, value.replace("url(#", f"url(#{prefix}"))


def _themed(svg: str) -> str:
    for color, variable in _VARIABLES.items():
        svg = svg.replace(color, f"var({variable})")
    return re.sub(r"font: ([\d.]+px) [^;\"]*", r"font: \1 var(--sans)", svg)
