"""Two file systems of Beam's for tests: folders of this machine, with the manners of remote ones.

shared:// is as strict as HDFS: one level is listed at a time, folders among the files, and a file
is not renamed onto another. bucket:// is an object store: keys, prefixes, no folders. Every process
that imports this module can open both; they are below $TEST_SHARED_FOLDER.
"""

from __future__ import annotations

import os
import pathlib
import urllib.parse

from apache_beam.io.filesystem import BeamIOError, CompressionTypes, FileMetadata, FileSystem

FOLDER_VARIABLE = "TEST_SHARED_FOLDER"


class _OnThisMachine:
    """What both have in common. `_local` says where a path is on this machine."""

    def join(self, basepath, *paths):
        return "/".join([basepath.rstrip("/"), *paths])

    def split(self, path):
        head, _, tail = path.rpartition("/")
        return head, tail

    def create(self, path, mime_type=None, compression_type=CompressionTypes.AUTO):
        assert compression_type == CompressionTypes.UNCOMPRESSED
        return self._local(path).open("wb")

    def open(self, path, mime_type=None, compression_type=CompressionTypes.AUTO):
        assert compression_type == CompressionTypes.UNCOMPRESSED
        if not self._local(path).is_file():
            raise RuntimeError(f"the client below knows no {path}")  # not an OSError, as many do
        return self._local(path).open("rb")

    def copy(self, source_file_names, destination_file_names):
        raise NotImplementedError

    def metadata(self, path):
        if not self.exists(path):
            raise BeamIOError("no metadata", {path: KeyError("404")})
        return self._metadata(path, self._local(path))

    def size(self, path):
        return self.metadata(path).size_in_bytes

    def last_updated(self, path):
        return self.metadata(path).last_updated_in_seconds

    def delete(self, paths):
        for result in self.match(paths):
            for entry in result.metadata_list:
                self._local(entry.path).unlink()

    @staticmethod
    def _metadata(path, local):
        status = local.stat()
        size = 0 if local.is_dir() else status.st_size
        return FileMetadata(path, size, status.st_mtime)


class SharedFileSystem(_OnThisMachine, FileSystem):
    """shared://: folders."""

    @classmethod
    def scheme(cls):
        return "shared"

    def _local(self, path):
        return pathlib.Path(os.environ[FOLDER_VARIABLE], path[len("shared://") :])

    def has_dirs(self):
        return True

    def mkdirs(self, path):
        if self.exists(path):
            raise BeamIOError(f"there is {path} already")
        self._local(path).mkdir(parents=True)

    def exists(self, path):
        return self._local(path).exists()

    def rename(self, source_file_names, destination_file_names):
        for source, destination in zip(source_file_names, destination_file_names):
            try:
                os.link(self._local(source), self._local(destination))
            except OSError as error:
                raise BeamIOError("cannot rename", {(source, destination): error}) from error
            self._local(source).unlink()

    def _list(self, dir_or_prefix):
        try:
            entries = sorted(os.scandir(self._local(dir_or_prefix)), key=lambda entry: entry.name)
        except OSError as error:
            raise BeamIOError("cannot list", {dir_or_prefix: error}) from error
        for entry in entries:
            path = self.join(dir_or_prefix, entry.name)
            yield self._metadata(path, pathlib.Path(entry.path))


class BucketFileSystem(_OnThisMachine, FileSystem):
    """bucket://: each key is a file with a quoted name."""

    @classmethod
    def scheme(cls):
        return "bucket"

    def _keys(self):
        folder = pathlib.Path(os.environ[FOLDER_VARIABLE], "bucket")
        folder.mkdir(exist_ok=True)
        return folder

    def _local(self, path):
        return self._keys() / urllib.parse.quote(path, safe="")

    def has_dirs(self):
        return False

    def mkdirs(self, path):
        pass

    def exists(self, path):
        return self._local(path).is_file()

    def rename(self, source_file_names, destination_file_names):
        for source, destination in zip(source_file_names, destination_file_names):
            self._local(source).replace(self._local(destination))

    def _list(self, dir_or_prefix):
        for local in sorted(self._keys().iterdir()):
            path = urllib.parse.unquote(local.name)
            if path.startswith(dir_or_prefix):
                yield self._metadata(path, local)
