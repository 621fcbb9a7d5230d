"""Finds the source images: in folders, CSV files, archives and TFRecord files.

Nothing is unpacked to a disk: an image in an archive or a TFRecord file is a range of its bytes.
Paths are below `Listing.root`, with the bytes that are not UTF-8 as surrogates (`os.fsencode`
gives the bytes back). Listings are sorted by path, so that nothing depends on the order in which a
disk lists files.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator, Mapping

from preprocess.sources.archives import list_archives
from preprocess.sources.base import (
    IMAGE_SUFFIXES,
    SPLITS,
    TEST,
    TRAIN,
    Container,
    Listing,
    SourceFile,
)
from preprocess.sources.containers import check_distinct, find_archives, find_tfrecords
from preprocess.sources.csv_lists import list_csv
from preprocess.sources.folders import list_folder
from preprocess.sources.memory import open_containers, unpacked
from preprocess.sources.spec import SourceSpec
from preprocess.sources.tfrecords import list_tfrecords

__all__ = [
    "IMAGE_SUFFIXES",
    "SPLITS",
    "TEST",
    "TRAIN",
    "Container",
    "Listing",
    "SourceFile",
    "SourceSpec",
    "find_containers",
    "list_csv",
    "list_folder",
    "list_source",
    "open_containers",
    "unpacked",
]


def find_containers(spec: SourceSpec) -> tuple[Container, ...] | None:
    """Returns the archives or TFRecord files of an input in the order given, test ones last.

    Only their first bytes are read. None for an input of files of their own (a folder, a CSV).
    Raises InputError for one that is missing or given twice.
    """
    found = _find_both(spec)
    if found is None:
        return None
    containers = (*found[0], *found[1])
    check_distinct(containers)
    return containers


def list_source(spec: SourceSpec, opened: Mapping[str, str] | None = None) -> Listing:
    """Lists the images of an input.

    `opened`: what `open_containers` yields for `find_containers(spec)`; without it, compressed
    containers are uncompressed for the listing alone. Raises InputError for an input that cannot be
    used, OSError where something cannot be read.
    """
    with _collection_paused():
        if spec.input_csv:
            return list_csv(spec.input_csv, spec.input_dir)
        if spec.input_dir:
            return list_folder(spec.input_dir, spec.test_labels)
        if opened is not None:
            return _list_containers(spec, opened)
        with open_containers(find_containers(spec)) as opened_here:
            return _list_containers(spec, opened_here)


def _list_containers(spec: SourceSpec, opened: Mapping[str, str]) -> Listing:
    containers, test_containers = _find_both(spec)
    check_distinct((*containers, *test_containers))
    if spec.input_tar:
        return list_archives(containers, test_containers, opened, spec.test_labels)
    return list_tfrecords(containers, test_containers, opened)


def _find_both(spec: SourceSpec) -> tuple[tuple[Container, ...], tuple[Container, ...]] | None:
    """Returns the containers of the input and those of its test split."""
    if spec.input_tar:
        return find_archives(spec.input_tar, "input_tar"), find_archives(spec.test_tar, "test_tar")
    if spec.input_tfrecords:
        return (
            find_tfrecords(spec.input_tfrecords, "input_tfrecords"),
            find_tfrecords(spec.test_tfrecords, "test_tfrecords"),
        )
    return None


@contextlib.contextmanager
def _collection_paused() -> Iterator[None]:
    """Pauses the garbage collector, which goes through millions of tuples again and again.

    None of them is garbage. A listing takes a third less time so.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
