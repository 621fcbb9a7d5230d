from __future__ import annotations

import errno
import io
import os
import tempfile
import threading
import zipfile

import pytest

from jpegkeras.errors import InputError
from preprocess import reading
from preprocess.reading import SourceReader
from preprocess.sources import Container, SourceFile, SourceSpec, list_csv, list_source
from tests.preprocess.helpers import write_files
from tests.preprocess.sources_helpers import (
    PACK,
    REMOTE,
    list_and_read,
    serve_remotely,
    tar_bytes,
    write,
    zip_bytes,
)


def listed(folder, name):
    """A file as a listing of its folder has it."""
    status = (folder / name).stat()
    return SourceFile(name, "a", None, status.st_size, status.st_mtime_ns)


@pytest.fixture
def folder(tmp_path):
    return write_files(tmp_path, {"a/1.jpg": b"x" * 1234, "a/2.jpg": b"second"})


def test_files_of_their_own(folder):
    for root in (str(folder), f"{folder}/"):
        with SourceReader(root, {}) as reader:
            assert reader.read(listed(folder, "a/1.jpg")) == b"x" * 1234
            assert reader.read(listed(folder, "a/2.jpg")) == b"second"
            assert reader.read(listed(folder, "a/2.jpg")._replace(modified=0)) == b"second"


def test_a_file_of_several_megabytes(folder):
    (folder / "large").write_bytes(bytes(range(256)) * (1 << 15))
    with SourceReader(str(folder), {}) as reader:
        assert reader.read(listed(folder, "large")) == (folder / "large").read_bytes()


def change_size(path):
    path.write_bytes(b"x" * 1300)


def change_time(path):
    os.utime(path, ns=(5, 1_700_000_000_000_000_007))


def make_pipe(path):
    path.unlink()
    os.mkfifo(path)


def make_folder(path):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (change_size, ValueError, "^changed since it was listed: 1,234 bytes then, 1,300 now$"),
        (
            change_time,
            ValueError,
            r"^changed since it was listed: modified at 2023-11-14 22:13:20\.000000007 UTC, then ",
        ),
        (make_pipe, ValueError, "^not a regular file$"),
        (make_folder, ValueError, "^not a regular file$"),
        (os.unlink, FileNotFoundError, "No such file or directory"),
    ],
)
def test_files_that_change_after_the_listing(folder, change, error, message):
    image = listed(folder, "a/1.jpg")
    change(folder / "a/1.jpg")
    before = os.listdir("/proc/self/fd")  # noqa: PTH208
    with SourceReader(str(folder), {}) as reader:
        with pytest.raises(error, match=message) as raised:
            reader.read(image)
        assert not isinstance(raised.value, InputError)
        assert reader.read(listed(folder, "a/2.jpg")) == b"second"
    assert os.listdir("/proc/self/fd") == before  # noqa: PTH208


def test_a_file_that_may_not_be_read():
    user = os.geteuid()
    # Not pytest's own folder, which another user may not even enter.
    with tempfile.TemporaryDirectory() as name:
        folder = write_files(name, {"1.jpg": b"1"})
        folder.chmod(0o755)
        (folder / "1.jpg").chmod(0)
        image = listed(folder, "1.jpg")
        try:
            os.seteuid(user or 65534)  # root may read everything
            with SourceReader(str(folder), {}) as reader, pytest.raises(PermissionError):
                reader.read(image)
        finally:
            os.seteuid(user)


def test_a_file_that_shrinks_while_it_is_read(folder, monkeypatch):
    image = listed(folder, "a/1.jpg")
    data = [b"x" * 1000, b""]
    monkeypatch.setattr("preprocess.reading.os.read", lambda descriptor, size: data.pop(0))
    with (
        SourceReader(str(folder), {}) as reader,
        pytest.raises(ValueError, match="1,234 bytes then, 1,000 now"),
    ):
        reader.read(image)


def test_what_was_missing_stays_missing(folder):
    (folder / "list.csv").write_text("path,label\nlate.jpg,a\n")
    (image,) = list_csv(folder / "list.csv").files
    (folder / "late.jpg").write_bytes(b"here by now")
    with SourceReader(str(folder), {}) as reader, pytest.raises(FileNotFoundError, match="No such"):
        reader.read(image)


def test_ranges_of_archives_and_of_their_unpacked_form(tmp_path):
    path = write(tmp_path / "x.tar.gz", PACK["gzip"](b"..image.."))
    image = SourceFile("a", "a", None, 5, container=path, offset=2)
    write(tmp_path / "elsewhere", b"..image..")
    container = Container(path, 1, 1, "gzip")  # what is unpacked is not compared with it
    with SourceReader("", {path: f"{tmp_path}/elsewhere"}, [container]) as reader:
        assert reader.read(image) == b"image"
        with pytest.raises(ValueError, match="ends early: 1 of its 5 bytes are there"):
            reader.read(image._replace(offset=8))
    with SourceReader(str(tmp_path), {}) as reader:
        assert reader.read(image._replace(container="elsewhere")) == b"image"


def test_a_container_that_changed_or_went_is_no_fault_of_one_image(tmp_path):
    path = write(tmp_path / "x.tar", tar_bytes([("a/1.jpg", b"1")]))
    listing = list_source(SourceSpec(input_tar=path))
    with SourceReader("", {}, listing.containers) as reader:
        assert reader.read(listing.files[0]) == b"1"
    os.utime(path, ns=(0, 0))
    with (
        SourceReader("", {path: path}, listing.containers) as reader,
        pytest.raises(InputError, match=r"x\.tar: changed since it was listed: modified at 1970"),
    ):
        reader.read(listing.files[0])
    (tmp_path / "x.tar").unlink()
    for containers in (listing.containers, ()):
        with (
            SourceReader("", {}, containers) as reader,
            pytest.raises(InputError, match=r"x\.tar: cannot be opened \(No such file"),
        ):
            reader.read(listing.files[0])


def test_deflated_images_that_are_not_what_the_index_says(tmp_path):
    path = write(tmp_path / "x.zip", zip_bytes([("a/1.jpg", b"1" * 500), ("a/2.jpg", b"")]))
    listing, contents = list_and_read(input_tar=path)
    assert contents == {"a/1.jpg": b"1" * 500, "a/2.jpg": b""}
    image = listing.files[0]
    assert image.packed_size > 0
    with SourceReader("", {}) as reader:
        for size in (0, 499, 501):
            with pytest.raises(ValueError, match=f"it should unpack to {size} bytes"):
                reader.read(image._replace(size=size))
        with pytest.raises(ValueError, match="it should unpack to 500 bytes"):
            reader.read(image._replace(packed_size=image.packed_size - 1))
        with pytest.raises(ValueError, match="damaged in its archive"):
            reader.read(image._replace(offset=image.offset + 1))


def test_threads_share_a_reader(tmp_path, monkeypatch):
    serve_remotely(monkeypatch, tmp_path)
    tree = {f"a/{index}.jpg": bytes([index]) * (index + 1) * 50 for index in range(100)}
    paths = [write(tmp_path / "x.tar", tar_bytes(tree.items())), f"{REMOTE}/x.tar"]
    for path in paths:
        listing = list_source(SourceSpec(input_tar=path))
        wrong = []
        with SourceReader("", {}, listing.containers) as reader:

            def read_all(files=listing.files, reader=reader, wrong=wrong):
                for file in files:
                    if reader.read(file) != tree[file.path]:
                        wrong.append(file)

            threads = [threading.Thread(target=read_all) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert not wrong


def test_one_descriptor_a_container_until_the_end(tmp_path):
    tree = {f"a/{index}.jpg": b"1" for index in range(5)}
    path = write(tmp_path / "x.tar", tar_bytes(tree.items()))
    listing = list_source(SourceSpec(input_tar=path))
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    reader = SourceReader("", {})
    for file in listing.files:
        reader.read(file)
        assert len(os.listdir("/proc/self/fd")) == before + 1  # noqa: PTH208
    reader.close()
    reader.close()
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


@pytest.fixture
def many(tmp_path):
    """A listing of 200 tars of an image each, and {path: bytes}."""
    tree = {f"a/{index}.jpg": bytes([index]) * (index + 1) for index in range(200)}
    paths = [
        write(tmp_path / f"{number}.tar", tar_bytes([item]))
        for number, item in enumerate(tree.items())
    ]
    return list_source(SourceSpec(input_tar=",".join(paths))), tree


def test_few_of_many_containers_are_open_at_once(many):
    listing, tree = many
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    most = 0
    with SourceReader("", {}, listing.containers) as reader:
        for file in (*listing.files, *listing.files):
            assert reader.read(file) == tree[file.path]
            most = max(most, len(os.listdir("/proc/self/fd")))  # noqa: PTH208
    assert most - before <= 64
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_containers_that_threads_read_are_not_closed(many, monkeypatch):
    monkeypatch.setattr(reading, "_OPEN_CONTAINERS", 2)
    monkeypatch.setattr(reading, "_SLOW_SECONDS", 0)
    listing, tree = many
    pread = os.pread

    def slow_pread(*arguments):
        threading.Event().wait(0.0005)
        return pread(*arguments)

    monkeypatch.setattr("preprocess.reading.os.pread", slow_pread)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    with SourceReader("", {}, listing.containers) as reader:
        for chunk, results in reader.read_chunks(listing.files * 3, 32):
            assert results == [tree[file.path] for file in chunk]
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_containers_that_changed_since_they_were_opened(many, tmp_path):
    listing, _ = many
    containers = {container.path: container for container in listing.containers}
    with SourceReader("", {}, listing.containers) as reader:
        for file in listing.files[:100]:
            reader.read(file)
        reader.check_unchanged()
        os.utime(listing.files[150].container, ns=(0, 0))  # which was not read
        reader.check_unchanged()
        first = listing.files[0].container  # closed by now
        with open(first, "r+b") as file:  # noqa: PTH123
            file.write(b"x")
        os.utime(first, ns=(0, containers[first].modified + 1))
        with pytest.raises(InputError, match=r"\.tar: changed since it was listed: modified at"):
            reader.check_unchanged()


def test_an_unpacked_container_is_not_looked_at_again(tmp_path):
    path = write(tmp_path / "x.tar.gz", b"packed")
    write(tmp_path / "unpacked", b"..image..")
    image = SourceFile("a", "a", None, 5, container=path, offset=2)
    container = Container(path, 1, 1, "gzip")
    with SourceReader("", {path: f"{tmp_path}/unpacked"}, [container]) as reader:
        assert reader.read(image) == b"image"
        reader.check_unchanged()


def test_remote_containers_that_changed(tmp_path, monkeypatch):
    serve_remotely(monkeypatch, tmp_path)
    write(tmp_path / "x.tar", tar_bytes([("a/1.jpg", b"1")]))
    listing = list_source(SourceSpec(input_tar=f"{REMOTE}/x.tar"))
    with SourceReader("", {}, listing.containers) as reader:
        assert reader.read(listing.files[0]) == b"1"
        reader.check_unchanged()
        os.utime(tmp_path / "x.tar", ns=(0, 0))
        with pytest.raises(InputError, match=r"x\.tar: changed since it was listed"):
            reader.check_unchanged()


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO])
@pytest.mark.parametrize("where", ["open", "read"])
@pytest.mark.parametrize("slow", [False, True])
def test_what_the_machine_lacks_is_no_fault_of_the_file(folder, monkeypatch, number, where, slow):
    if slow:
        monkeypatch.setattr(reading, "_SLOW_SECONDS", 0)
    images = [listed(folder, "a/1.jpg")] * 3 + [listed(folder, "a/2.jpg")]
    original = getattr(os, where)

    def fail(what, *arguments):
        if where == "open" and str(what).endswith("2.jpg"):
            raise OSError(number, os.strerror(number), what)
        if where == "read" and arguments == (len(b"second"),):
            raise OSError(number, os.strerror(number))
        return original(what, *arguments)

    monkeypatch.setattr(f"preprocess.reading.os.{where}", fail)
    with SourceReader(str(folder), {}) as reader, pytest.raises(OSError) as raised:
        list(reader.read_chunks(images, 2))
    monkeypatch.undo()
    assert raised.value.errno == number
    assert raised.value.filename == f"{folder}/a/2.jpg"


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EIO])
def test_what_the_machine_lacks_for_a_container(tmp_path, monkeypatch, number):
    path = write(tmp_path / "x.tar", tar_bytes([("a/1.jpg", b"1")]))
    listing = list_source(SourceSpec(input_tar=path))

    def fail(*arguments):
        raise OSError(number, os.strerror(number))

    name = "open" if number == errno.EMFILE else "pread"
    monkeypatch.setattr(f"preprocess.reading.os.{name}", fail)
    with SourceReader("", {}, listing.containers) as reader, pytest.raises(OSError) as raised:
        list(reader.read_chunks(listing.files, 2))
    monkeypatch.undo()
    assert raised.value.errno == number
    assert raised.value.filename == path


def test_a_lack_of_memory_is_no_fault_of_the_file(folder, monkeypatch):
    def fail(*_):
        raise MemoryError

    monkeypatch.setattr("preprocess.reading.os.read", fail)
    with SourceReader(str(folder), {}) as reader, pytest.raises(MemoryError):
        list(reader.read_chunks([listed(folder, "a/1.jpg")], 2))


def test_files_elsewhere(tmp_path, monkeypatch):
    system = serve_remotely(monkeypatch, write_files(tmp_path, {"d/a/1.jpg": b"123"}))
    image = SourceFile("a/1.jpg", "a", None, 3)
    with SourceReader(f"{REMOTE}/d", {}) as reader:
        assert reader.read(image) == b"123"
        with pytest.raises(ValueError, match="changed since it was listed: 4 bytes then, 3 now"):
            reader.read(image._replace(size=4))
        with pytest.raises(FileNotFoundError):
            reader.read(image._replace(path="a/none.jpg"))
    with SourceReader("", {}) as reader:
        assert reader.read(image._replace(path=f"{REMOTE}/d/a/1.jpg")) == b"123"
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/1.jpg", b"1" * 100)
    write(tmp_path / "d/x.zip", out.getvalue())
    assert list_and_read(input_tar=f"{REMOTE}/d/x.zip")[1] == {"a/1.jpg": b"1" * 100}
    assert system.opened.count(f"{REMOTE}/d/a/1.jpg") == 3


@pytest.mark.parametrize("slow", [False, True])
@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 33])
def test_chunks_are_what_one_by_one_gives(tmp_path, monkeypatch, slow, count):
    if slow:
        monkeypatch.setattr(reading, "_SLOW_SECONDS", 0)
    files = {f"{index}.jpg": bytes([index]) * (index + 1) for index in range(count)}
    images = []
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
        status = (tmp_path / name).stat()
        images.append(SourceFile(name, "a", None, status.st_size, status.st_mtime_ns))
    for number in (3, 20):
        if number < count:
            (tmp_path / images[number].path).unlink()
    before = threading.active_count()
    with SourceReader(str(tmp_path), {}) as reader:
        chunks = list(reader.read_chunks(images, 8))
    assert threading.active_count() == before
    assert [len(chunk) for chunk, _ in chunks] == [8] * (count // 8) + [count % 8] * (count % 8 > 0)
    read = [pair for chunk, results in chunks for pair in zip(chunk, results)]
    assert [image for image, _ in read] == images
    for number, (image, result) in enumerate(read):
        if number in (3, 20):
            assert isinstance(result, FileNotFoundError)
        else:
            assert result == files[image.path]


def test_a_container_that_changed_ends_the_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "_SLOW_SECONDS", 0)
    (tmp_path / "a.tar").write_bytes(b"x" * 100)
    container = Container(f"{tmp_path}/a.tar", 99, 0)
    images = [SourceFile(str(n), "a", None, 1, 0, container.path, n) for n in range(20)]
    with (
        SourceReader("", {container.path: container.path}, [container]) as reader,
        pytest.raises(InputError, match=r"changed since it was listed"),
    ):
        list(reader.read_chunks(images, 8))
