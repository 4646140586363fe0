"""The `tagscribe` command and its subcommands.

Each file of this folder has a group of subcommands. A subcommand imports only what it needs, so
that help and status do not wait for torch and Ray.
"""

import signal
import sys

import typer

from curation.cli import config, demo, jobs, models, publish, report, review, run, show, status
from curation.cli.interruption import CommandGroup, raise_termination
from curation.cli.version import accept_version_option
from curation.error_report import report_error

app = typer.Typer(
    cls=CommandGroup,
    help="Curate audio-text data: captions written from audio, guided by AudioSet tags, filtered "
    "by CLAP score. Start with `tagscribe demo`, or write a run.yaml (`tagscribe config --show`) "
    "and `tagscribe run run.yaml`.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


app.callback()(accept_version_option)
app.command("demo")(demo.demo_command)
app.command("plan")(run.plan_command)
app.command("annotate")(run.annotate_command)
app.command("select")(run.select_command)
app.command("run")(run.run_command)
app.command("status")(status.status_command)
app.command("verify")(status.verify_command)
app.command("show")(show.show_command)
app.command("config")(config.config_command)
app.command("report")(report.report_command)
app.command("review")(review.review_command)
app.command("submit")(jobs.submit_command)
app.add_typer(jobs.app, name="jobs")
app.add_typer(models.app, name="models")
app.command("publish")(publish.publish_command)
app.command("rebuild")(publish.rebuild_command)


def main() -> None:
    """Run the command line. Every error is printed as one line on stderr, and sets an exit code."""
    signal.signal(signal.SIGTERM, raise_termination)
    try:
        if "--help" not in sys.argv:  # which does without pyarrow
            from curation.processes.pandas_import import defer_pandas

            defer_pandas()
        app()
    except Exception as error:
        sys.exit(report_error("tagscribe", error))


if __name__ == "__main__":
    main()
