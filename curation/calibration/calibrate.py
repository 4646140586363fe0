"""Calibrates a run's scorer, and writes the results beside the run."""

from curation.calibration import csv_pairs, plot, run_pairs
from curation.calibration.summary import Calibration, summarize_calibration
from curation.config.run import RunConfig
from curation.models.scorers.build import build_scorer
from curation.storage.files import Storage
from curation.uris import join_uri


def calibrate(
    config: RunConfig,
    clips: int,
    precision: float,
    prior: float,
    captions_csv: str | None,
    folder: str,
) -> Calibration:
    """Calibrate the scorer of `config`, on its evidence or on the captions of a CSV.

    Writes calibration.json and calibration.svg into `folder`.

    Args:
        clips: size of the random sample of clips, which the run's seed draws.
        precision: the share of right captions to reach with the threshold.
        prior: the share of right captions before any filter; not used if captions are judged.

    Raises InputError if there is nothing to calibrate on.
    """
    scorer = build_scorer(config.scorer)
    if captions_csv:
        scored = csv_pairs.score_csv_pairs(config, scorer, captions_csv, clips)
    else:
        scored = run_pairs.score_run_pairs(config, scorer, clips)
    found = summarize_calibration(scored, scorer.identity, prior, precision)
    picture = plot.plot_calibration(
        scored, prior, found.threshold, config.scorer.model, found.estimator
    )
    storage = Storage(config.storage)
    storage.put(join_uri(folder, "calibration.json"), found.to_json())
    storage.put(join_uri(folder, "calibration.svg"), picture)
    return found
