"""The commands `tagscribe publish` and `tagscribe rebuild`."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from curation import console
from curation.cli.arguments import EndpointUrl, Profile, Quiet, Run
from curation.errors import InputError
from curation.publish.options import UNKNOWN_LICENCE, DatasetFormat, PublishOptions
from curation.text_safety import escape_invisible
from curation.units import format_bytes

if TYPE_CHECKING:
    import pyarrow as pa

    from curation.publish.licences import Licences
    from curation.publish.publication import Publication, SizeEstimate
    from curation.run.resolve import ResolvedRun

EXAMPLE_CLIPS = 5

To = Annotated[str, typer.Option("--to", metavar="URI", help="DIR, s3://... or hf://org/name.")]
Formats = Annotated[
    list[DatasetFormat] | None,
    typer.Option("--format", help="Format to write; may be repeated. Default: parquet."),
]
Rate = Annotated[int, typer.Option("--sample-rate", min=4000, help="Rate of the audio, in Hz.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Print what would be written, without writing it.")
]


def publish_command(
    run: Run,
    to: To,
    format: Formats = None,
    audio: Annotated[
        bool, typer.Option("--audio", help="Publish the audio of clips whose licence allows it.")
    ] = False,
    licences: Annotated[
        str | None,
        typer.Option(
            metavar="CSV", help="Licences of the audio: columns licence and clip_id or source."
        ),
    ] = None,
    licence_column: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="Column of the catalog's metadata with the licences."),
    ] = None,
    version: Annotated[
        int | None, typer.Option(help="Version of the table; the newest by default.")
    ] = None,
    previous: Annotated[
        str | None,
        typer.Option(metavar="URI", help="The previous publication, for the changelog."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Title; the run's folder by default.")] = None,
    about: Annotated[
        str | None,
        typer.Option(help="What the recordings are and who made them, a sentence for the card."),
    ] = None,
    creator: Annotated[str | None, typer.Option(help="Publisher, for the metadata.")] = None,
    url: Annotated[str | None, typer.Option(help="Page of the dataset, for the metadata.")] = None,
    licence: Annotated[
        str, typer.Option(help="Licence of captions and scores, as the hub names it.")
    ] = UNKNOWN_LICENCE,
    language: Annotated[str, typer.Option(help="Language of the captions.")] = "en",
    validation: Annotated[float, typer.Option(help="Share of the clips for validation.")] = 0.05,
    test: Annotated[float, typer.Option(help="Share of the clips for test.")] = 0.05,
    sample_rate: Rate = 32000,
    overwrite_metadata: Annotated[
        bool,
        typer.Option(
            "--overwrite-metadata",
            help="Write the card and croissant.json of a published dataset again, with the --name, "
            "--licence, --about, --creator and --url given here. Its data stay as they are.",
        ),
    ] = False,
    dry_run: DryRun = False,
    endpoint_url: EndpointUrl = None,
    profile: Profile = None,
    quiet: Quiet = False,
) -> None:
    """Publish a version of a run's table as a dataset with card, metadata and checksums.

    By default captions, scores and ids are published, without audio. With --audio, the audio is
    published too, and clips whose licence does not allow that are excluded and listed. If a
    publication is stopped, the same command resumes it. Existing files with other content are never
    overwritten.
    """
    from curation.publish import hub, source
    from curation.publish.publication import prepare_publication
    from curation.run.resolve import resolve_run

    found = resolve_run(run, endpoint_url, profile)
    options = PublishOptions(
        name=name or found.folder.uri.rpartition("/")[2],
        formats=_formats(format),
        audio=audio,
        sample_rate_hz=sample_rate,
        validation=validation,
        test=test,
        licence=licence,
        language=language,
        about=about,
        creator=creator,
        url=url or hub.hub_page_url(hub.resolve_hub_uri(to)),
    )
    clip_licences = _load_licences(found, licences, licence_column)
    publication = prepare_publication(
        source.load_run_source(found.folder, version), options, clip_licences
    )
    _publish(publication, to, previous, dry_run, quiet, overwrite_metadata)


def rebuild_command(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="The published dataset.")],
    audio: Annotated[str, typer.Option(metavar="FOLDER", help="Folder of audio.")],
    out: Annotated[str, typer.Option(metavar="URI", help="Folder of the dataset with audio.")],
    format: Formats = None,
    files: Annotated[
        Literal["cut", "whole"],
        typer.Option(
            help="Content of a file named by its YouTube id alone: the cut clip, or the whole "
            "recording."
        ),
    ] = "cut",
    sample_rate: Rate = 32000,
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Add audio from a folder to a dataset that was published without it."""
    from curation.publish.publication import prepare_publication
    from curation.publish.rebuild import build_rebuild_options, load_rebuild_source
    from curation.storage.files import Storage

    source, dataset_options, coverage = load_rebuild_source(Storage(), dataset, audio, files)
    console.stdout.print(coverage.message)
    publication = prepare_publication(
        source, build_rebuild_options(dataset_options, _formats(format), sample_rate), None
    )
    _publish(publication, out, None, dry_run, quiet)


def _publish(
    publication: "Publication",
    uri: str,
    previous: str | None,
    dry_run: bool,
    quiet: bool,
    overwrite_metadata: bool = False,
) -> None:
    from curation.publish import publish as publishing
    from curation.publish.publication import estimate_size

    if dry_run:
        destination, _ = publishing.claim_destination(
            publication, uri, previous, overwrite_metadata
        )
        if overwrite_metadata:
            console.stdout.print(f"{destination.uri}: would write the card and croissant.json")
            return
        if destination.finished:
            console.stdout.print(f"{destination.uri}: published already, it would be checked")
        _print_size_estimate(estimate_size(publication), uri)
        _print_excluded(publication.excluded)
        return
    with console.show_progress("publish", "pairs", quiet) as update:
        done = publishing.publish_dataset(publication, uri, previous, update, overwrite_metadata)
    if overwrite_metadata:
        console.stdout.print(f"{done.uri}: card and croissant.json are written, the data are kept")
        return
    _print_excluded(done.excluded)
    if done.summary is None:
        console.stdout.print(
            f"{done.uri}: published already, {done.files} files as they were written"
        )
        return
    clips = {name: part.clips for name, part in done.summary.splits.items()}
    if publication.options.audio:
        console.stdout.print(
            f"audio of {done.same} clips as it was annotated, of {done.other} clips from others"
        )
    console.stdout.print(
        f"{done.uri}: {_format_counts(done.summary.total.rows, clips)}, in {done.files} files"
    )


def _load_licences(run: "ResolvedRun", csv: str | None, column: str | None) -> "Licences | None":
    from curation.publish import licences

    if csv and column:
        raise InputError("give --licences or --licence-column, not both")
    if csv:
        return licences.read_licences(run.folder.storage, csv)
    if column:
        return licences.read_catalog_licences(run.folder.storage, run.config, column)
    return None


def _formats(requested: list[DatasetFormat] | None) -> tuple[DatasetFormat, ...]:
    return tuple(dict.fromkeys(requested or [DatasetFormat.PARQUET]))


def _format_counts(captions: int, clips: dict[str, int]) -> str:
    splits = ", ".join(f"{name} {count}" for name, count in clips.items())
    return f"{captions} captions of {sum(clips.values())} clips ({splits})"


def _print_size_estimate(estimate: "SizeEstimate", uri: str) -> None:
    console.stdout.print(
        f"would write to {uri}: {_format_counts(estimate.captions, estimate.clips)}; by a sample "
        "of the clips"
    )
    console.print_fields(
        {
            name: f"{count} files, about {format_bytes(estimate.size_bytes[name])}"
            for name, count in estimate.files.items()
        }
    )


def _print_excluded(excluded: "pa.Table") -> None:
    import pyarrow.compute as pc

    from curation.publish.excluded import count_by_reason

    for reason, clips in count_by_reason(excluded).items():
        found = excluded.filter(pc.equal(excluded["reason"], reason))["clip_id"].slice(
            0, EXAMPLE_CLIPS
        )
        few = map(escape_invisible, found.to_pylist())
        more = (
            f" and {clips - EXAMPLE_CLIPS} more, all in excluded.csv"
            if clips > EXAMPLE_CLIPS
            else ""
        )
        console.stdout.print(f"{clips} clips left out, {reason}: {', '.join(few)}{more}")
