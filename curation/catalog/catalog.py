"""Lists the clips of a catalog of any supported kind."""

import pyarrow.compute as pc

from curation.catalog import audioset, folder, parquet, webdataset
from curation.catalog.listing import CatalogListing
from curation.config.catalog import (
    AudiosetConfig,
    CatalogConfig,
    FolderConfig,
    ParquetConfig,
    WebDatasetConfig,
)
from curation.storage.files import Storage


def list_clips(storage: Storage, config: CatalogConfig) -> CatalogListing:
    """List a catalog: one row per clip, with its tags and the URI of its audio.

    The rows are sorted by clip id. Clips that are packed in Parquet or tar files are sorted by file
    and position, so that neighbouring rows are read from neighbouring places. Raises InputError for
    an invalid catalog.
    """
    match config:
        case AudiosetConfig():
            return _sorted(audioset.list_audioset_clips(storage, config), "clip_id")
        case FolderConfig():
            return _sorted(folder.list_folder_clips(storage, config), "clip_id")
        case ParquetConfig():
            return _sorted(parquet.list_parquet_clips(storage, config), "uri")
        case WebDatasetConfig():
            return _sorted(webdataset.list_webdataset_clips(storage, config), "uri")


def _sorted(listing: CatalogListing, column: str) -> CatalogListing:
    keys = [(column, "ascending"), ("clip_id", "ascending")]
    order = pc.sort_indices(listing.clips, sort_keys=keys)
    return CatalogListing(listing.clips.take(order), listing.coverage)
