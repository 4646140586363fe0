"""The picture of a calibration: both distributions of scores, and precision by threshold."""

import io

import numpy as np

from curation.calibration.arithmetic import Curve, Scored, Threshold

# Of Okabe and Ito's palette, which most eyes tell apart.
_MATCHED, _SHUFFLED, _PRECISION = "#0072B2", "#E69F00", "#009E73"
_BINS = 60


def svg(
    scored: Scored, prior: float, threshold: Threshold | None, title: str, estimator: str
) -> bytes:
    """An SVG of scores and precision; the same scores give the same bytes."""
    # Slow to import, and no other command draws.
    import matplotlib
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    shuffled = scored.shuffled_pairs
    bins = np.histogram_bin_edges(np.concatenate([scored.matched, shuffled]), _BINS)
    for scores, label, color in (
        (shuffled, f"shuffled, {len(shuffled):,} pairs", _SHUFFLED),
        (scored.matched, f"matched, {len(scored.matched):,} pairs", _MATCHED),
    ):
        above.hist(scores, bins, density=True, alpha=0.6, label=label, color=color)
    curve = Curve(scored, prior)
    once = np.ones((1, len(scored.matched)))
    below.plot(curve.thresholds, curve.precision(once)[0], color=_PRECISION, label="precision")
    below.plot(curve.thresholds, curve.kept(once)[0], color=_MATCHED, label="share kept")
    for axes in (above, below):
        if threshold:
            axes.axvline(threshold.score, color="black", linestyle="--", linewidth=1)
        axes.legend()
    above.set(title=title, ylabel="density")
    below.set(xlabel="CLAP score", ylim=(0, 1.02))
    below.set_title(estimator, fontsize="small")
    with matplotlib.rc_context({"svg.hashsalt": "tagscribe"}):
        file = io.BytesIO()
        figure.savefig(file, format="svg", metadata={"Date": None})
        return file.getvalue()
