"""Trees of files as folders, archives and TFRecords, for the tests of the sources."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import pathlib
import random
import tarfile
import zipfile

import tensorflow as tf

from preprocess import filesystems
from preprocess.filesystems import FileSystem
from preprocess.filesystems.local import LocalFileSystem
from preprocess.reading import SourceReader
from preprocess.sources import SourceSpec, find_containers, list_source, open_containers

PACK = {"gzip": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}
SUFFIXES = {"gzip": ".gz", "bz2": ".bz2", "xz": ".xz"}
REMOTE = "mem://bucket"


def shuffled(tree, seed):
    """The items of a tree of {path: bytes} in another order."""
    return random.Random(seed).sample(list(tree.items()), len(tree))


def tar_bytes(items, archive_format=tarfile.PAX_FORMAT):
    """A tar of (path, bytes) pairs."""
    out = io.BytesIO()
    with tarfile.open(
        fileobj=out, mode="w", format=archive_format, encoding="utf-8", errors="surrogateescape"
    ) as archive:
        for name, data in items:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def tar_of_tars_bytes(items):
    """A tar with a tar for each folder of files, named after it, as ImageNet has them."""
    folders = {}
    plain = []
    for name, data in items:
        folder, _, rest = name.partition("/")
        if rest:
            folders.setdefault(folder, []).append((rest, data))
        else:
            plain.append((name, data))
    nested = [(f"{folder}.tar", tar_bytes(below)) for folder, below in folders.items()]
    return tar_bytes(nested + plain)


def zip_bytes(items, method=zipfile.ZIP_DEFLATED):
    """A zip of (path, bytes) pairs; names that are not UTF-8 are put in as they are."""
    out = io.BytesIO()
    raw_names = {}
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in items:
            raw = os.fsencode(name)
            if "\udc80" <= max(name) <= "\udcff":
                stand_in = bytes(byte if byte < 0x80 else ord("~") for byte in raw)
                raw_names[stand_in] = raw
                name = stand_in.decode()
            archive.writestr(zipfile.ZipInfo(name), data, method)
    data = out.getvalue()
    for stand_in, raw in raw_names.items():
        data = data.replace(stand_in, raw)
    return data


def write(path, data):
    """Writes bytes and returns the path as a string."""
    pathlib.Path(path).write_bytes(data)
    return str(path)


def example(encoded=b"image", label=0, **features):
    """A serialised tf.train.Example of an image; features with __ for / in their names."""
    values = {"image__encoded": encoded, "image__class__label": label, **features}
    feature = {
        key.replace("__", "/"): to_feature(value)
        for key, value in values.items()
        if value is not None
    }
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


def to_feature(value):
    values = value if isinstance(value, list) else [value]
    if all(isinstance(item, bytes) for item in values):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))
    if all(isinstance(item, int) for item in values):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))
    return tf.train.Feature(float_list=tf.train.FloatList(value=values))


def write_records(path, records, compression=""):
    """Writes a TFRecord file with TensorFlow and returns its path as a string."""
    with tf.io.TFRecordWriter(str(path), compression) as writer:
        for record in records:
            writer.write(record)
    return str(path)


def list_and_read(**flags):
    """The listing of an input, and {path: bytes} of all its images."""
    spec = SourceSpec(**flags)
    containers = find_containers(spec) or ()
    with open_containers(containers) as opened:
        listing = list_source(spec, opened)
        with SourceReader(listing.root, opened, listing.containers) as reader:
            return listing, {file.path: reader.read(file) for file in listing.files}


def described(listing):
    """What a listing says of each image, wherever it lies."""
    return [(file.path, file.label, file.split, file.size) for file in listing.files]


class FakeRemote(FileSystem):
    """Files of a local folder under the paths mem://bucket/…."""

    def __init__(self, folder):
        self._folder = str(folder)
        self._local = LocalFileSystem()
        self.walked = []
        self.opened = []

    def _path(self, path):
        assert path.startswith(REMOTE)
        return self._folder + path[len(REMOTE) :]

    def status(self, path):
        return self._local.status(self._path(path))

    def walk(self, folder):
        self.walked.append(folder)
        return self._local.walk(self._path(folder))

    def open(self, path):
        self.opened.append(path)
        return self._local.open(self._path(path))

    def publish(self, local, path):
        raise NotImplementedError

    def remove(self, path):
        raise NotImplementedError

    def make_folder(self, path):
        raise NotImplementedError


def serve_remotely(monkeypatch, folder):
    """Makes a folder's files those of mem://bucket/, and returns their file system."""
    system = FakeRemote(folder)
    monkeypatch.setattr(filesystems, "_beam_filesystem", lambda path: system)
    return system
