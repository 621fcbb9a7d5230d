"""The same behaviour of files on this machine, by TensorFlow and by Apache Beam."""

from __future__ import annotations

import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid

import pytest

from jpegkeras.errors import InputError
from preprocess import output, writing
from preprocess.filesystems import filesystem_of, is_remote, join
from preprocess.filesystems.local import LocalFileSystem

SCHEMES = ("local", "ram", "shared", "bucket")
# What Beam takes for a pattern, and what other tools trip over.
ODD_NAMES = ("a b.jpg", "a[1].jpg", "a*.jpg", "ä?.jpg", "a%2Fb.jpg")


@pytest.fixture(params=SCHEMES)
def root(request, tmp_path, monkeypatch):
    """An empty folder on each file system."""
    if request.param == "local":
        return str(tmp_path / "data")
    if request.param == "ram":
        return f"ram://{uuid.uuid4().hex}"  # TensorFlow's, in memory
    shared_filesystem = pytest.importorskip("tests.preprocess.shared_filesystem")
    monkeypatch.setenv(shared_filesystem.FOLDER_VARIABLE, str(tmp_path))
    return f"{request.param}://data"


def put(path, content, tmp_path):
    """Publishes a file, and makes its folder first."""
    system = filesystem_of(path)
    system.make_folder(path.rpartition("/")[0])
    # On a disk, from the folder that it is to be in.
    folder = tmp_path if is_remote(path) else pathlib.Path(path).parent
    local = folder / f"local-{uuid.uuid4().hex}"
    local.write_bytes(content)
    system.publish(str(local), path)


def test_a_file_has_its_content_its_size_and_its_time(root, tmp_path):
    system, path = filesystem_of(root), join(root, "a", "b.bin")
    before = time.time()
    put(path, b"0123456789", tmp_path)
    assert system.exists(path)
    assert system.read(path) == b"0123456789"
    status = system.status(path)
    assert status.size == 10
    if root.startswith("ram"):
        assert status.modified == 0  # it keeps none
    else:
        assert before - 5 < status.modified / 1e9 < time.time() + 5
    with system.open(path) as file:
        file.seek(4)
        assert file.read(3) == b"456"


def test_publish_replaces_and_leaves_nothing_else(root, tmp_path):
    path = join(root, "a.bin")
    put(path, b"old", tmp_path)
    put(path, b"new!", tmp_path)
    system = filesystem_of(root)
    assert system.read(path) == b"new!"
    assert [name for name, _ in system.walk(root)] == ["a.bin"]


def test_what_a_kill_leaves_of_publish_is_known_to_a_later_job(root, tmp_path):
    """The process dies in the middle; its child here does not even run `finally`."""
    if root.startswith(("local", "ram")) or "://" not in root:
        pytest.skip("renamed from its place, or in memory that the process takes along")
    path = join(root, "train-00000-of-00001.tfrecord.gz")
    put(path, b"old", tmp_path)
    (tmp_path / "new").write_bytes(b"new")
    pid = os.fork()
    if not pid:
        try:
            filesystem_of(path)
            import preprocess.filesystems.beam

            preprocess.filesystems.beam._rename = lambda *_: os._exit(7)
            filesystem_of(path).publish(str(tmp_path / "new"), path)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    assert len(filesystem_of(root).names(root)) == 2
    output.remove_temporaries(root)
    assert filesystem_of(root).names(root) == ["train-00000-of-00001.tfrecord.gz"]
    assert filesystem_of(root).read(path) == b"old"


def test_gfile_names_what_it_has_not_finished_so_too(tmp_path, monkeypatch):
    gfile = pytest.importorskip("preprocess.filesystems.gfile")
    root = f"ram://{uuid.uuid4().hex}"
    system, renamed = gfile.GfileSystem(), []
    rename = gfile.tf.io.gfile.rename

    def spy(source, path, **options):
        renamed.append(source)
        rename(source, path, **options)

    monkeypatch.setattr(gfile.tf.io.gfile, "rename", spy)
    (tmp_path / "new").write_bytes(b"new")
    path = join(root, "test-00000-of-00001.tfrecord")
    system.publish(str(tmp_path / "new"), path)
    assert len(renamed) == 1 and system.names(root) == ["test-00000-of-00001.tfrecord"]
    (tmp_path / "left").write_bytes(b"left")
    system.publish(str(tmp_path / "left"), renamed[0])
    output.remove_temporaries(root)
    assert system.names(root) == ["test-00000-of-00001.tfrecord"]


@pytest.fixture
def temporary_folder(tmp_path, monkeypatch):
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def dead_process():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_local_files_of_a_remote_output_go_with_the_write(temporary_folder):
    path = f"ram://{uuid.uuid4().hex}/a.bin"
    with writing.replacing(path) as temporary:
        pathlib.Path(temporary).write_bytes(b"x")
        (folder,) = temporary_folder.iterdir()
        assert folder.name.startswith(f"jpegkeras-{os.getpid()}-")
        assert folder.stat().st_mode & 0o777 == 0o700
        assert pathlib.Path(temporary).parent == folder
    assert not list(temporary_folder.iterdir())
    with pytest.raises(ZeroDivisionError), writing.replacing(path) as temporary:
        pathlib.Path(temporary).write_bytes(b"y")
        1 / 0  # noqa: B018
    assert not list(temporary_folder.iterdir())
    assert filesystem_of(path).read(path) == b"x"


def test_local_files_that_a_dead_process_left_are_removed(temporary_folder):
    host = socket.gethostname()
    gone = temporary_folder / f"jpegkeras-{dead_process()}-{host}-abc"
    others = [
        f"jpegkeras-{os.getpid()}-{host}-abc",  # alive
        f"jpegkeras-1-{host}-abc",  # alive, and perhaps of another user
        f"jpegkeras-{dead_process()}-another.{host}-abc",  # its processes are not to be seen here
        f"jpegkeras-bench-{host}-abc",
        f"preprocess-{dead_process()}-{host}-abc",
    ]
    for folder in (gone, *(temporary_folder / name for name in others)):
        folder.mkdir()
        (folder / "train-00000-of-00001.tfrecord").write_bytes(b"x")
    (temporary_folder / f"jpegkeras-{dead_process()}-{host}-file").write_bytes(b"mine")
    link = temporary_folder / f"jpegkeras-{dead_process()}-{host}-link"
    link.symlink_to(temporary_folder / others[0])
    writing.write_text(f"ram://{uuid.uuid4().hex}/a.bin", "x")
    assert not gone.exists()
    for name in others:
        assert (temporary_folder / name / "train-00000-of-00001.tfrecord").exists()
    assert len(list(temporary_folder.iterdir())) == len(others) + 2


def test_publish_at_once_gives_one_whole_file(root, tmp_path):
    path = join(root, "a.bin")
    content = os.urandom(1 << 20)
    errors = []

    def publish():
        try:
            put(path, content, tmp_path)
        except OSError as error:
            errors.append(error)

    threads = [threading.Thread(target=publish) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    system = filesystem_of(root)
    assert not errors
    assert system.read(path) == content
    assert system.names(root) == ["a.bin"]


def test_failed_publish_leaves_what_was_there(root, tmp_path):
    path = join(root, "a.bin")
    put(path, b"old", tmp_path)
    system = filesystem_of(root)
    with pytest.raises(OSError):
        system.publish(str(tmp_path / "data" / "nothing"), path)
    assert system.read(path) == b"old"
    assert system.names(root) == ["a.bin"]


def test_walk_finds_files_at_every_depth_with_any_name(root, tmp_path):
    if root.startswith("ram"):
        names = [f"c/{name}" for name in ODD_NAMES if "*" not in name and "?" not in name]
    else:
        names = [f"c/{name}" for name in ODD_NAMES]
    names += ["top.jpg", "c/deep/er/x.jpg", "cc/empty.jpg"]
    system = filesystem_of(root)
    for name in names:
        put(join(root, name), b"" if "empty" in name else name.encode(), tmp_path)
    sizes = {name: status.size for name, status in system.walk(root)}
    assert sizes == {name: 0 if "empty" in name else len(name.encode()) for name in names}
    assert sorted(name for name, _ in system.walk(join(root, "c"))) == sorted(
        name[2:] for name in names if name.startswith("c/")
    )
    for name in names:
        path = join(root, name)
        assert system.exists(path)
        assert system.status(path).size == sizes[name]
        assert system.read(path) == (b"" if "empty" in name else name.encode())


def test_names_are_of_one_folder(root, tmp_path):
    for name in ("a.json", "b.json", "sub/c.json"):
        put(join(root, name), b"x", tmp_path)
    system = filesystem_of(root)
    assert sorted(system.names(root)) == ["a.json", "b.json"]
    assert system.names(join(root, "sub")) == ["c.json"]


def test_what_is_not_there(root, tmp_path):
    system, path = filesystem_of(root), join(root, "nothing.bin")
    assert list(system.walk(root)) == []
    assert system.names(root) == []
    put(join(root, "folder", "a.bin"), b"x", tmp_path)
    for missing in (path, join(root, "folder"), join(root, "folder", "a.bin", "b")):
        assert not system.exists(missing)
        with pytest.raises(OSError):
            system.read(missing)
    with pytest.raises(FileNotFoundError):
        system.status(path)
    with pytest.raises(FileNotFoundError):
        system.read(path)
    system.remove(path)


def test_remove(root, tmp_path):
    for name in ("a.bin", "a.bin2"):
        put(join(root, name), b"x", tmp_path)
    system = filesystem_of(root)
    system.remove(join(root, "a.bin"))
    system.remove(join(root, "a.bin"))
    assert system.names(root) == ["a.bin2"]


def test_folders_are_made_once_or_twice(root):
    system = filesystem_of(root)
    system.make_folder(join(root, "a", "b"))
    system.make_folder(join(root, "a", "b"))
    assert list(system.walk(root)) == []


def test_local_names_that_are_not_utf8(tmp_path):
    (tmp_path / os.fsdecode(b"caf\xe9.jpg")).write_bytes(b"x")
    system = LocalFileSystem()
    [(name, _)] = system.walk(str(tmp_path))
    assert os.fsencode(name) == b"caf\xe9.jpg"
    assert system.read(join(str(tmp_path), name)) == b"x"


def test_local_links_to_folders_do_not_lead_in_circles(tmp_path):
    (tmp_path / "train" / "cat").mkdir(parents=True)
    (tmp_path / "train" / "cat" / "1.jpg").write_bytes(b"x")
    (tmp_path / "train" / "dog").symlink_to(tmp_path / "train" / "cat")
    (tmp_path / "train" / "cat" / "again").symlink_to(tmp_path)
    found = {name for name, _ in LocalFileSystem().walk(str(tmp_path))}
    assert found == {"train/cat/1.jpg", "train/dog/1.jpg"}


def test_a_scheme_that_nothing_opens():
    with pytest.raises(InputError, match="nothing that is installed opens nix://"):
        filesystem_of("nix://bucket/a")


def test_beam_does_not_write_to_a_folder_that_it_would_take_for_a_pattern(tmp_path, monkeypatch):
    shared_filesystem = pytest.importorskip("tests.preprocess.shared_filesystem")
    monkeypatch.setenv(shared_filesystem.FOLDER_VARIABLE, str(tmp_path))
    with pytest.raises(InputError, match="must be named without"):
        filesystem_of("shared://data[1]").make_folder("shared://data[1]")
