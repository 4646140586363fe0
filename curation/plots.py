"""Draws figures as SVG: score densities, and a threshold as a vertical line."""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Of few values narrow bins would be noise.
_LEAST_BINS, _MOST_BINS = 20, 100

# Properties of a line as matplotlib names them: color, linestyle, ...
Style = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Density:
    """One distribution to draw: its label, its values `[value]`, and the area under its curve."""

    name: str
    values: np.ndarray
    area: float = 1.0


def render_svg(
    settings: Mapping[str, Any], size_in: tuple[float, float], draw: Callable[[Figure], None]
) -> bytes:
    """Return the SVG of what `draw` draws; the same drawing always gives the same bytes.

    Args:
        settings: matplotlib settings (`rcParams`) for this figure only.
        size_in: width and height in inches.
        draw: called with the empty figure.
    """
    with matplotlib.rc_context({"svg.hashsalt": "tagscribe", **settings}):
        figure = Figure(figsize=size_in, layout="constrained")
        draw(figure)
        file = io.BytesIO()
        figure.savefig(file, format="svg", metadata={"Date": None})
        return file.getvalue()


def draw_densities(axes: "Axes", densities: Sequence[Density], styles: Sequence[Style]) -> None:
    """Draw each density as the outline of a histogram; all histograms have the same bins.

    The number of bins grows with the number of values in `densities[0]`.
    """
    bins = int(np.clip(2 * np.sqrt(len(densities[0].values)), _LEAST_BINS, _MOST_BINS))
    edges = np.histogram_bin_edges(np.concatenate([each.values for each in densities]), bins)
    for each, style in zip(densities, styles, strict=False):
        counts, _ = np.histogram(each.values, edges)
        heights = counts / len(each.values) / (edges[1] - edges[0]) * each.area
        axes.stairs(heights, edges, label=each.name, linewidth=1.8, **style)
    axes.set_ylabel("density")


def draw_threshold(axes: "Axes", threshold: float) -> None:
    """Draw a vertical line at a threshold, in the colour of the text."""
    color = matplotlib.rcParams["text.color"]
    axes.axvline(threshold, color=color, linewidth=1, label=f"threshold {threshold:.3f}")
