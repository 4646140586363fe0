"""Calibrates the scorer of a run, and writes the results into a folder."""

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
    """Calibrate the scorer of `config` on the evidence of the run, or on the captions of a CSV.

    Writes calibration.json and calibration.svg into `folder`.

    Args:
        config: the configuration of the run.
        clips: size of the random sample of clips, drawn with the seed of the run.
        precision: the share of the captions above the threshold that must be right.
        prior: the share of right captions before any filter; not used if people judged the
            captions.
        captions_csv: a CSV of sounds and captions; None to use the run's evidence.
        folder: where the results are written.

    Raises InputError if there are no pairs to calibrate on.
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
