"""What TensorFlow opens: gs:// in its usual builds, more with the package tensorflow-io."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import BinaryIO

from jpegkeras.quiet import quiet_tensorflow
from preprocess.filesystems.base import FileStatus, FileSystem, temporary_name

with quiet_tensorflow():
    import tensorflow as tf


class GfileSystem(FileSystem):
    """Files by the paths of `tf.io.gfile`."""

    def knows(self, path: str) -> bool:
        """Tells whether TensorFlow has a file system for the path's scheme."""
        try:
            tf.io.gfile.exists(path)
        except tf.errors.UnimplementedError:
            return False
        except tf.errors.OpError:
            return True
        return True

    def status(self, path: str) -> FileStatus:
        with _as_os_errors(path):
            found = tf.io.gfile.stat(path)
            if found.is_directory:
                raise FileNotFoundError(0, "not a regular file", path)
            return FileStatus(found.length, found.mtime_nsec)

    def walk(self, folder: str) -> Iterator[tuple[str, FileStatus]]:
        prefix = f"{folder.rstrip('/')}/"
        with _as_os_errors(folder):
            for parent, _, names in tf.io.gfile.walk(folder):
                for name in names:
                    path = f"{parent.rstrip('/')}/{name}"
                    try:
                        status = self.status(path)
                    except FileNotFoundError:
                        continue  # some file systems list a folder as a file in itself
                    yield path[len(prefix) :], status

    def open(self, path: str) -> BinaryIO:
        self.status(path)  # gfile would only tell when it is read
        return tf.io.gfile.GFile(path, "rb")

    def publish(self, local: str, path: str) -> None:
        temporary = temporary_name(path)
        with _as_os_errors(path):
            try:
                tf.io.gfile.copy(local, temporary)
                tf.io.gfile.rename(temporary, path, overwrite=True)
            finally:
                with contextlib.suppress(tf.errors.OpError):
                    tf.io.gfile.remove(temporary)
        os.unlink(local)

    def remove(self, path: str) -> None:
        with _as_os_errors(path), contextlib.suppress(tf.errors.NotFoundError):
            tf.io.gfile.remove(path)

    def make_folder(self, path: str) -> None:
        with _as_os_errors(path):
            tf.io.gfile.makedirs(path)


@contextlib.contextmanager
def _as_os_errors(path: str) -> Iterator[None]:
    try:
        yield
    except tf.errors.NotFoundError as error:
        raise FileNotFoundError(0, "no such file", path) from error
    except tf.errors.OpError as error:
        raise OSError(0, error.message, path) from error
