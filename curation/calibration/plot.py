"""Plots a calibration: the scores of matched and of shuffled pairs, and precision by threshold."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from curation import plots
from curation.calibration.thresholds import PrecisionCurve, ScoredPairs, Threshold
from curation.plots import Density, Style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Of Okabe and Ito's palette, which most eyes tell apart.
_MATCHED, _SHUFFLED, _PRECISION = ({"color": c} for c in ("#0072B2", "#E69F00", "#009E73"))


def plot_calibration(
    scored: ScoredPairs, prior: float, threshold: Threshold | None, title: str, estimator: str
) -> bytes:
    """Draw scores and precision as an SVG. The same scores give the same bytes."""
    shuffled = scored.shuffled_pairs
    densities = (
        Density(f"matched, {len(scored.matched):,} pairs", scored.matched),
        Density(f"shuffled, {len(shuffled):,} pairs", shuffled),
    )

    def draw(figure: Figure) -> None:
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
        plots.draw_densities(above, densities, (_MATCHED, _SHUFFLED))
        draw_precision(below, scored, prior, (_PRECISION, _MATCHED))
        for axes in (above, below):
            if threshold:
                plots.draw_threshold(axes, threshold.score)
            axes.legend()
        above.set_title(title)
        below.set_xlabel("CLAP score")
        below.set_title(estimator, fontsize="small")

    return plots.render_svg({}, (8, 6), draw)


def draw_precision(
    axes: "Axes", scored: ScoredPairs, prior: float, styles: Sequence[Style]
) -> None:
    """Draw two lines over the thresholds: the precision, and the share of captions kept.

    The lines have the first two of `styles`.
    """
    curve = PrecisionCurve(scored, prior)
    once = np.ones((1, len(scored.matched)))
    lines = {"precision": curve.precision(once)[0], "share kept": curve.kept_share(once)[0]}
    for (name, values), style in zip(lines.items(), styles, strict=False):
        axes.plot(curve.thresholds, values, label=name, linewidth=1.8, **style)
    axes.set_ylim(0, 1.02)
