"""Builds Croissant 1.0 metadata (mlcommons.org/croissant), which describes the Parquet files."""

import json
from typing import Any

from curation.publish.columns import COLUMN_DESCRIPTIONS
from curation.publish.options import DatasetFormat
from curation.publish.provenance import describe_steps
from curation.publish.summary import PublishSummary
from curation.publish.text import to_plain_name

_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
_NUMBERS = {"rank": "sc:Integer"}
_NUMBERS |= dict.fromkeys(
    ("clap_score", "second_score", "log_prob", "tag_scores", "start_s", "end_s"), "sc:Float"
)
_REPEATED = {"guidance", "tag_scores"}
# Lists of structs have no field of Croissant's that its own reader fills.
_OMITTED_COLUMNS = {"tags"}


def build_croissant(summary: PublishSummary) -> bytes:
    """Build the content of croissant.json. It has record sets only if there are Parquet files."""
    options, origin, total = summary.options, summary.origin, summary.total
    about: dict[str, Any] = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": to_plain_name(options.name),
        "description": " ".join(
            [
                f"{total.rows} captions of {total.clips} clips.",
                options.about or "",
                *describe_steps(origin),
            ]
        ),
        "license": options.licence,
        "version": f"{origin['table_version']}.0.0",
        "datePublished": origin["committed"],
        "citeAs": f"{options.name}, version {origin['table_version']}, {origin['committed'][:4]}",
        "inLanguage": options.language,
    }
    if options.url:
        about["url"] = options.url
    if options.creator:
        about["creator"] = {"@type": "Organization", "name": options.creator}
    if DatasetFormat.PARQUET in options.formats:
        about["distribution"] = [_FILE_SET]
        about["recordSet"] = [
            {
                "@type": "cr:RecordSet",
                "@id": "pairs",
                "description": "One record a caption.",
                "field": [_field(name) for name in summary.columns if name not in _OMITTED_COLUMNS],
            }
        ]
    return json.dumps(about, indent=1).encode() + b"\n"


_FILE_SET = {
    "@type": "cr:FileSet",
    "@id": "parquet",
    "description": "All splits; a file's name begins with its split.",
    "encodingFormat": "application/x-parquet",
    "includes": "data/*.parquet",
}


def _field(name: str) -> dict[str, Any]:
    source: dict[str, Any] = {"fileSet": {"@id": "parquet"}, "extract": {"column": name}}
    field: dict[str, Any] = {
        "@type": "cr:Field",
        "@id": f"pairs/{name}",
        "description": COLUMN_DESCRIPTIONS[name],
        "dataType": _NUMBERS.get(name, "sc:Text"),
        "source": source,
    }
    if name in _REPEATED:
        field["repeated"] = True
    if name == "audio":
        field["dataType"] = "sc:AudioObject"
        source["transform"] = {"jsonPath": "bytes"}
    return field
