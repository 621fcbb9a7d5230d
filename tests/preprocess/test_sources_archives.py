from __future__ import annotations

import io
import os
import random
import shutil
import struct
import subprocess
import tarfile
import zipfile

import pytest

from jpegkeras.errors import InputError
from preprocess.sources import SourceSpec, find_containers, list_source, tars, windows
from tests.conftest import SHARED_DATA
from tests.preprocess.helpers import write_files
from tests.preprocess.sources_helpers import (
    PACK,
    REMOTE,
    described,
    list_and_read,
    serve_remotely,
    shuffled,
    tar_bytes,
    tar_of_tars_bytes,
    write,
    zip_bytes,
)
from tests.preprocess.test_sources import TINY, TINY_FILES

LONG = "/".join(["deep" * 20] * 4)
CLASSES = {
    "a b/1.jpg": b"one",
    "a b/deep/er/2.JPEG": b"two" * 1000,
    "a b/notes.txt": b"?",
    "a b/.hidden.jpg": b"?",
    "a b/.cache/c.jpg": b"?",
    "ligne\nnouvelle/new\nline.png": bytes(range(256)) * 2,
    f"long/{LONG}/{'x' * 120}.jpg": b"long",
    os.fsdecode(b"caf\xe9/th\xe9.jpg"): b"accents",
    "utf-8 ééé/x.jpg": b"",
    "utf-8 ééé/y.jpg": b"y",
    "readme.txt": b"?",
}
SPLIT = {
    "train/n1/1.jpg": b"1",
    "train/n2/2.jpg": b"22",
    "val/n1/3.jpg": b"333",
    "val/n2/4.jpg": b"4444",
    "val/n2/more/5.jpg": b"55555",
}
KINDS = {
    "gnu": lambda items: tar_bytes(items, tarfile.GNU_FORMAT),
    "pax": lambda items: tar_bytes(items, tarfile.PAX_FORMAT),
    "tars": tar_of_tars_bytes,
    "gzip": lambda items: PACK["gzip"](tar_bytes(items)),
    "bz2": lambda items: PACK["bz2"](tar_bytes(items)),
    "xz": lambda items: PACK["xz"](tar_bytes(items)),
    "deflated": zip_bytes,
    "stored": lambda items: zip_bytes(items, zipfile.ZIP_STORED),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tree", [CLASSES, SPLIT, TINY], ids=["classes", "split", "tiny"])
def test_an_archive_gives_what_its_folder_gives(tmp_path, tree, kind):
    listing, contents = list_and_read(input_dir=str(write_files(tmp_path / "in", tree)))
    for seed in range(3):
        path = write(tmp_path / "archive", KINDS[kind](shuffled(tree, seed)))
        found, found_contents = list_and_read(input_tar=path)
        assert described(found) == described(listing)
        assert found_contents == contents
        assert found.ignored == listing.ignored
        assert {file.container for file in found.files} == {path}
        assert (found.root, found.containers[0].path) == ("", path)


@pytest.mark.parametrize("kind", ["gnu", "pax", "deflated"])
@pytest.mark.parametrize("start", ["./", "tiny/", "./a b/tiny/", "/", "../x//y/./"])
def test_common_folders_are_looked_through(tmp_path, kind, start):
    tree = {f"{start}{name}": data for name, data in TINY.items()}
    tree |= {"elsewhere.txt": b"", "__MACOSX/tiny/._a.jpg": b"", ".git/a.jpg": b""}
    listing = list_and_read(input_tar=write(tmp_path / "x", KINDS[kind](tree.items())))[0]
    assert described(listing) == TINY_FILES
    assert listing.ignored == 5


def test_the_last_folder_is_the_class_where_images_lie_in_it(tmp_path):
    path = write(tmp_path / "x", tar_bytes([("data/a/1.jpg", b""), ("data/a/b/2.jpg", b"")]))
    assert described(list_source(SourceSpec(input_tar=path))) == [
        ("a/1.jpg", "a", None, 0),
        ("a/b/2.jpg", "a", None, 0),
    ]


def write_imagenet(folder):
    train = {
        "n01440764/n01440764_18.JPEG": b"a",
        "n01440764/n01440764_36.JPEG": b"bb",
        "n01443537/n01443537_2.JPEG": b"ccc",
    }
    val = {f"ILSVRC2012_val_{index:08d}.JPEG": bytes(index) for index in (1, 2, 3)}
    labels = folder / "val.txt"
    labels.write_text("n01443537\nn01440764\nn01443537\n")
    return {
        "input_tar": write(folder / "train.tar", tar_of_tars_bytes(shuffled(train, 1))),
        "test_tar": write(folder / "val.tar", tar_bytes(shuffled(val, 1))),
        "test_labels": str(labels),
    }


def test_imagenets_own_archives(tmp_path):
    flags = write_imagenet(tmp_path)
    listing, contents = list_and_read(**flags)
    assert described(listing) == [
        ("test/ILSVRC2012_val_00000001.JPEG", "n01443537", "test", 1),
        ("test/ILSVRC2012_val_00000002.JPEG", "n01440764", "test", 2),
        ("test/ILSVRC2012_val_00000003.JPEG", "n01443537", "test", 3),
        ("train/n01440764/n01440764_18.JPEG", "n01440764", "train", 1),
        ("train/n01440764/n01440764_36.JPEG", "n01440764", "train", 2),
        ("train/n01443537/n01443537_2.JPEG", "n01443537", "train", 3),
    ]
    assert contents["train/n01440764/n01440764_36.JPEG"] == b"bb"
    assert contents["test/ILSVRC2012_val_00000003.JPEG"] == bytes(3)
    outer = (tmp_path / "train.tar").read_bytes()
    place = next(file for file in listing.files if file.size == 3 and file.split == "train")
    assert outer[place.offset : place.offset + 3] == b"ccc"
    assert described(list_source(SourceSpec(input_tar=flags["input_tar"])))[0] == (
        "n01440764/n01440764_18.JPEG",
        "n01440764",
        None,
        1,
    )


def test_a_flat_test_folder_in_an_archive(tmp_path):
    tree = {
        "x/train/n1/1.jpg": b"",
        "x/train/n2/2.jpg": b"",
        "x/val/b.jpg": b"",
        "x/val/a.jpg": b"",
    }
    path = write(tmp_path / "x", tar_bytes(tree.items()))
    labels = write(tmp_path / "labels.txt", b"a.jpg n2\nb.jpg n1\n")
    listing = list_source(SourceSpec(input_tar=path, test_labels=labels))
    assert described(listing)[2:] == [
        ("val/a.jpg", "n2", "test", 0),
        ("val/b.jpg", "n1", "test", 0),
    ]
    with pytest.raises(
        InputError, match="x, val: there are no class folders.* --test_labels gives"
    ):
        list_source(SourceSpec(input_tar=path))


def test_two_archives_that_do_not_go_together(tmp_path):
    flat = write(tmp_path / "flat", tar_bytes([("val/1.jpg", b""), ("val/2.jpg", b"")]))
    train = write(tmp_path / "train", tar_bytes([("n1/1.jpg", b""), ("n2/1.jpg", b"")]))
    both = write(tmp_path / "both", tar_bytes([("train/n1/1.jpg", b""), ("val/n1/2.jpg", b"")]))
    with pytest.raises(InputError, match="flat: none of its classes is one to learn from"):
        list_source(SourceSpec(input_tar=train, test_tar=flat))
    with pytest.raises(InputError, match="both: there are a train/ and a test split in it. Leave"):
        list_source(SourceSpec(input_tar=both, test_tar=train))
    with pytest.raises(InputError, match="labels: there are 1 lines, but 2 images"):
        labels = write(tmp_path / "labels", b"n1\n")
        list_source(SourceSpec(input_tar=train, test_tar=flat, test_labels=labels))


def test_a_test_archive_of_class_folders_or_annotations(tmp_path):
    train = write(
        tmp_path / "a", tar_bytes([("x/train/n1/1.jpg", b"1"), ("x/train/n2/2.jpg", b"2")])
    )
    test = write(tmp_path / "b", zip_bytes([("val/n1/1.jpg", b"3"), ("val/n2/2.jpg", b"4")]))
    listing, contents = list_and_read(input_tar=train, test_tar=test)
    assert described(listing) == [
        ("test/n1/1.jpg", "n1", "test", 1),
        ("test/n2/2.jpg", "n2", "test", 1),
        ("train/n1/1.jpg", "n1", "train", 1),
        ("train/n2/2.jpg", "n2", "train", 1),
    ]
    assert list(contents.values()) == [b"3", b"4", b"1", b"2"]
    annotated = [(f"tiny/{name}", data) for name, data in TINY.items() if name[:3] == "val"]
    test = write(tmp_path / "c", tar_bytes(annotated))
    assert described(list_source(SourceSpec(input_tar=train, test_tar=test)))[:2] == [
        ("test/images/val_0.JPEG", "n1", "test", 3),
        ("test/images/val_1.JPEG", "n2", "test", 4),
    ]


def test_several_archives_lie_side_by_side(tmp_path):
    parts = [{"set/train/a/1.jpg": b"1"}, {"set/train/b/2.jpg": b"22"}, {"set/test/a/3.jpg": b""}]
    paths = [
        write(tmp_path / f"{index}", kind(part.items()))
        for index, (part, kind) in enumerate(zip(parts, (tar_bytes, zip_bytes, tar_bytes)))
    ]
    listing, contents = list_and_read(input_tar=", ".join(paths))
    assert [(file.path, file.label, file.split, file.container) for file in listing.files] == [
        ("test/a/3.jpg", "a", "test", paths[2]),
        ("train/a/1.jpg", "a", "train", paths[0]),
        ("train/b/2.jpg", "b", "train", paths[1]),
    ]
    assert contents["train/b/2.jpg"] == b"22"
    assert list_and_read(input_tar=f"{tmp_path}/[0-2]")[0] == listing
    write(tmp_path / "2", tar_bytes([("./set/train/a/1.jpg", b"1")]))
    with pytest.raises(InputError, match=f"set/train/a/1.jpg is in {paths[0]} and in {paths[2]}"):
        list_source(SourceSpec(input_tar=",".join(paths)))


def add(archive, name, data=b"", kind=tarfile.REGTYPE, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, target, len(data)
    archive.addfile(info, io.BytesIO(data))


def test_links_devices_and_names_that_occur_twice(tmp_path):
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        add(archive, "a", kind=tarfile.DIRTYPE)
        add(archive, "a/1.jpg", b"first")
        add(archive, "a/2.jpg", b"second")
        add(archive, "b/hard.jpg", kind=tarfile.LNKTYPE, target="a/1.jpg")
        add(archive, "b/soft.jpg", kind=tarfile.SYMTYPE, target="../a/1.jpg")
        add(archive, "b/lost.jpg", kind=tarfile.LNKTYPE, target="a/none.jpg")
        add(archive, "b/pipe.jpg", kind=tarfile.FIFOTYPE)
        add(archive, "a/1.jpg", b"the last one")
        add(archive, "a/2.jpg", kind=tarfile.SYMTYPE, target="1.jpg")
    listing, contents = list_and_read(input_tar=f"{tmp_path}/x.tar")
    assert contents == {"a/1.jpg": b"the last one", "b/hard.jpg": b"first"}
    assert listing.ignored == 4


def test_names_in_a_global_pax_header_hold_for_all(tmp_path):
    out = io.BytesIO()
    header = {"path": "a/global.jpg"}
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT, pax_headers=header) as tar:
        add(tar, "a/1.jpg", b"123")
    path = write(tmp_path / "x.tar", out.getvalue())
    with tarfile.open(path) as archive:
        assert archive.getnames() == ["a/global.jpg"]
    assert list_and_read(input_tar=path)[1] == {"a/global.jpg": b"123"}


FORMATS = {"gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT, "ustar": tarfile.USTAR_FORMAT}


def index_of(path):
    with windows.open_window(str(path)) as window:
        return [
            (member.name.rstrip("/"), member.offset, member.size)
            for member in tars.read_members(window, "x")
        ]


def index_by_tarfile(path):
    with tarfile.open(path, encoding="utf-8", errors="surrogateescape") as archive:
        return [(member.name.rstrip("/"), member.offset_data, member.size) for member in archive]


@pytest.mark.parametrize("archive_format", FORMATS)
def test_the_index_is_that_of_tarfile(tmp_path, archive_format):
    generator = random.Random(archive_format)
    with tarfile.open(
        tmp_path / "x.tar", "w", format=FORMATS[archive_format], errors="surrogateescape"
    ) as archive:
        for index in range(300):
            depth = generator.randint(0, 3)
            parts = [generator.choice(["a", "é", "x y", "d" * 60]) for _ in range(depth)]
            name = "/".join([*parts, f"{index}{'z' * generator.choice([0, 1, 30])}.jpg"])
            kind = generator.choice([tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE])
            size = generator.choice([0, 1, 511, 512, 513, 3000])
            add(archive, name, bytes(size * (kind != tarfile.DIRTYPE)), kind)
    assert index_of(tmp_path / "x.tar") == index_by_tarfile(tmp_path / "x.tar")


@pytest.mark.parametrize("archive_format", ["gnu", "oldgnu", "pax", "ustar", "v7"])
def test_the_index_of_what_tar_writes(tmp_path, archive_format):
    if not shutil.which("tar"):
        pytest.skip("the program tar is not there")
    tree = {"a/1.jpg": b"1" * 700, "a/b c/2.jpg": b"2", f"{'d' * 50}/{'e' * 38}.jpg": b"3"}
    write_files(tmp_path / "in", tree)
    os.link(tmp_path / "in/a/1.jpg", tmp_path / "in/a/linked.jpg")
    command = [
        "tar",
        f"--format={archive_format}",
        "-cf",
        tmp_path / "x.tar",
        "-C",
        tmp_path / "in",
    ]
    done = subprocess.run([*command, "."], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"this tar has no --format={archive_format}: {done.stderr.strip()}")
    assert index_of(tmp_path / "x.tar") == index_by_tarfile(tmp_path / "x.tar")
    contents = list_and_read(input_tar=f"{tmp_path}/x.tar")[1]
    assert contents == {**tree, "a/linked.jpg": tree["a/1.jpg"]}


def test_sizes_beyond_octal_numbers(tmp_path):
    """A member of 9 GB, in a file with a hole: its size is a number to the base 256."""
    size = 9 << 30
    info = tarfile.TarInfo("a/large.jpg")
    info.size = size
    small = tar_bytes([("a/small.jpg", b"small")])
    with (tmp_path / "x.tar").open("wb") as file:
        file.write(info.tobuf(tarfile.GNU_FORMAT))
        file.seek(size, io.SEEK_CUR)
        file.write(small)
    assert index_of(tmp_path / "x.tar") == [
        ("a/large.jpg", 512, size),
        ("a/small.jpg", size + 1024, 5),
    ]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "x: not a tar, which has more than 0 bytes"),
        (b"\xff\xd8" + bytes(2000), "x: not a tar: no header can be read at byte 0"),
        (tar_bytes([]), "x: the archive is empty"),
        (tar_bytes([("1.jpg", b"")]), "x: the images lie directly in this archive"),
        (tar_bytes([("a/1.txt", b"")]), "x: no image found among 1 file"),
        (tar_bytes([("a.tar", b"")]), "x, a.tar: not a tar, which has more than 0 bytes"),
        (tar_bytes([("a.tar", b"a" * 600)]), "x, a.tar: not a tar"),
        (
            tar_bytes([("train/a/1.jpg", b""), ("test/1.jpg", b"")]),
            "x, test: there are no class folders, as train/ has. To split .* give an archive of",
        ),
        (
            tar_bytes([("train/a/1.jpg", b""), ("test/b/1.jpg", b"")]),
            "x, test: none of its classes is one to learn from: it has 'b', the train split 'a'",
        ),
        (PACK["gzip"](tar_bytes([("a/1.jpg", b"")]))[:-9], "x: damaged or cut off"),
        (PACK["xz"](tar_bytes([("a/1.jpg", b"")]))[:-9], "x: damaged or cut off"),
        (PACK["bz2"](tar_bytes([("a/1.jpg", b"")]))[:-9], "x: damaged or cut off"),
        (PACK["gzip"](b"no tar" * 100), "x: not a tar"),
        (b"\x28\xb5\x2f\xfd" + bytes(600), r"x: compressed by zstd, .* Decompress it \(zstd -d\)"),
        (zip_bytes([("a/1.jpg", b"1" * 99)])[:-30], "x: not a zip, or damaged or cut off"),
        (zip_bytes([("a/1.jpg", b"1")], zipfile.ZIP_LZMA), "x: a/1.jpg is packed by lzma"),
        (b"PK\5\6" + bytes(18), "x: the archive is empty"),
    ],
)
def test_bad_archives(tmp_path, data, message):
    path = write(tmp_path / "x", data)
    with pytest.raises(InputError, match=message) as error:
        list_source(SourceSpec(input_tar=path))
    assert "\n" not in str(error.value)


def test_encrypted_and_shifted_zips(tmp_path):
    data = bytearray(zip_bytes([("a/1.jpg", b"1" * 99)]))
    index = data.index(b"PK\1\2")
    encrypted = bytearray(data)
    encrypted[index + 8] |= 1
    path = write(tmp_path / "x", encrypted)
    with pytest.raises(InputError, match="a/1.jpg is encrypted. Unpack it and give --input_dir"):
        list_source(SourceSpec(input_tar=path))
    struct.pack_into("<I", data, index + 42, 3)
    path = write(tmp_path / "x", data)
    with pytest.raises(InputError, match="a/1.jpg is not where the index says"):
        list_source(SourceSpec(input_tar=path))
    behind_a_program = b"#!/bin/sh\n" + zip_bytes([("a/1.jpg", b"1" * 99)])
    with pytest.raises(InputError, match="not a tar"):
        list_source(SourceSpec(input_tar=write(tmp_path / "x", behind_a_program)))


def test_links_in_a_zip_are_ignored(tmp_path):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a/1.jpg", b"1")
        link = zipfile.ZipInfo("a/2.jpg")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, b"1.jpg")
    listing, contents = list_and_read(input_tar=write(tmp_path / "x", out.getvalue()))
    assert (contents, listing.ignored) == ({"a/1.jpg": b"1"}, 1)


@pytest.mark.parametrize("kind", ["gnu", "pax", "tars"])
def test_a_tar_that_was_cut_off_anywhere(tmp_path, kind):
    data = KINDS[kind]([("a/1.jpg", b"1" * 700), ("a/2.jpg", b""), ("b/x.txt", b"3")])
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        last = archive.getmembers()[-1]
    end = last.offset_data + -(-last.size // 512) * 512
    for size in [*range(0, end, 128), *range(end - 3, end + 512, 100)]:
        with pytest.raises(InputError, match="it was cut off|not a tar"):
            list_source(SourceSpec(input_tar=write(tmp_path / "x", data[:size])))
    assert list_source(SourceSpec(input_tar=write(tmp_path / "x", data[: end + 512]))).files


FEW = [("a/1.jpg", b"1" * 700), ("a/2.jpg", b""), ("b/3.jpg", b"3")]
END = 4 * 512 + 1024  # where the zeros begin that end the tar of these


@pytest.mark.parametrize("zeros", [512, 1024, 7168, 300_000, 1 << 20, 777])
def test_padding_behind_the_end_of_a_tar(tmp_path, zeros):
    path = write(tmp_path / "x", tar_bytes(FEW)[:END] + bytes(zeros))
    assert len(list_source(SourceSpec(input_tar=path)).files) == 3


@pytest.mark.parametrize("kind", ["plain", "gzip", "nested"])
@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            tar_bytes(FEW)[:1536] + bytes(512) + tar_bytes(FEW)[2048:],
            "damaged: no header can be read at byte 1,536",
        ),
        (tar_bytes(FEW)[:END] + bytes(512) + b"x", "damaged: no header can be read at byte 3,072"),
        (
            tar_bytes(FEW) + tar_bytes([("c/1.jpg", b"")]),
            "at byte 3,072 the tar ends, but at byte 10,240 there is more. If .*--input_dir",
        ),
        (tar_bytes(FEW)[:END] + bytes(9999) + b"x", "but at byte 13,071 there is more"),
        (tar_bytes(FEW)[:END] + bytes(1 << 21) + b"x", "zeros from byte 3,072 to the end"),
        (
            tar_bytes(FEW)[:2048] + bytes(3 << 20),
            "zeros from byte 2,048 to the end, 3,145,728 bytes: it seems cut off.* Get it again",
        ),
        (bytes(2 << 20), "zeros from byte 0 to the end, 2,097,152 bytes: it seems cut off"),
    ],
)
def test_zeros_that_are_not_the_end_of_a_tar(tmp_path, kind, data, message):
    pack = {
        "plain": lambda data: data,
        "gzip": PACK["gzip"],
        "nested": lambda data: tar_bytes([("n.tar", data)]),
    }[kind]
    path = write(tmp_path / "x", pack(data))
    with pytest.raises(InputError, match=f"x{', n.tar' * (kind == 'nested')}: .*{message}"):
        list_source(SourceSpec(input_tar=path))


def test_of_a_download_that_is_mostly_zeros_little_is_read(tmp_path):
    path = tmp_path / "x.tar"
    with path.open("wb") as file:
        file.write(tar_bytes(FEW)[:2048])
        file.truncate(1 << 40)
    with pytest.raises(InputError, match="1,099,511,625,728 bytes: it seems cut off"):
        list_source(SourceSpec(input_tar=str(path)))


@pytest.mark.parametrize(
    "names", [("c/x0.jpg", "c.tar"), ("c.tar", "c/x0.jpg"), ("c.tar", "c.TAR")]
)
def test_a_file_that_a_nested_tar_has_as_well(tmp_path, names):
    inner = tar_bytes([("x0.jpg", b"inner")])
    items = [(name, b"outer" if name.endswith("jpg") else inner) for name in names]
    path = write(tmp_path / "x", tar_bytes([("d/1.jpg", b""), *items]))
    with pytest.raises(
        InputError, match=r"x: c/x0.jpg is there twice: in c\.(tar|TAR), .*Leave out"
    ):
        list_source(SourceSpec(input_tar=path))


@pytest.mark.parametrize("kind", ["gnu", "pax", "tars", "stored", "deflated", "gzip", "xz", "bz2"])
def test_damaged_archives_raise_nothing_else(tmp_path, kind):
    long_names = [(f"a/{'n' * 200}.jpg", b"1" * 50), ("a/2.jpg", b"22"), ("b/é.jpg", b"3")]
    data = KINDS[kind](long_names)
    generator = random.Random(kind)
    for _ in range(200):
        damaged = bytearray(data)
        for _ in range(generator.randint(1, 8)):
            damaged[generator.randrange(len(data))] = generator.choice(
                [0, 1, 0x20, 0x37, 0x80, 255]
            )
        path = write(tmp_path / "x", damaged)
        try:
            list_and_read(input_tar=path)
        except ValueError as error:  # InputError from the listing, ValueError from the reading
            assert "\n" not in str(error) or "é" in str(error)


def test_what_is_found_without_opening_and_what_is_not_there(tmp_path):
    flags = write_imagenet(tmp_path)
    write(tmp_path / "c.tgz", PACK["gzip"](tar_bytes([])))
    write(tmp_path / "BZhang", tar_bytes([("BZh9/1.jpg", b"")]))
    flags["input_tar"] += f",{tmp_path}/c.tgz,{tmp_path}/BZhang"
    containers = find_containers(SourceSpec(**flags))
    assert [(entry.path, entry.compression) for entry in containers] == [
        (f"{tmp_path}/train.tar", ""),
        (f"{tmp_path}/c.tgz", "gzip"),
        (f"{tmp_path}/BZhang", ""),
        (f"{tmp_path}/val.tar", ""),
    ]
    status = (tmp_path / "val.tar").stat()
    assert containers[3][1:3] == (status.st_size, status.st_mtime_ns)
    assert find_containers(SourceSpec(input_dir=str(tmp_path))) is None
    assert find_containers(SourceSpec(input_csv=str(tmp_path))) is None
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for names, message in [
        ("none.tar", r"--input_tar: .*none.tar: cannot be opened \(No such file or directory\)"),
        ("folder", r"--input_tar: .*folder: cannot be opened \(not a regular file\)"),
        ("pipe", r"--input_tar: .*pipe: cannot be opened \(not a regular file\)"),
        ("*.tbz", r"--input_tar: no file matches .*\*.tbz"),
        ("train.tar,train.tar", "train.tar: given twice"),
    ]:
        paths = ",".join(f"{tmp_path}/{name}" for name in names.split(","))
        with pytest.raises(InputError, match=message):
            find_containers(SourceSpec(input_tar=paths))


def test_archives_elsewhere(tmp_path, monkeypatch):
    serve_remotely(monkeypatch, tmp_path)
    trees = [{"a/1.jpg": b"1"}, {"b/2.jpg": b"22"}]
    (tmp_path / "data").mkdir()
    write(tmp_path / "data/part-0.tar", tar_bytes(trees[0].items()))
    write(tmp_path / "data/part-1.tar.gz", PACK["gzip"](tar_bytes(trees[1].items())))
    write(tmp_path / "data/other", b"")
    listing, contents = list_and_read(input_tar=f"{REMOTE}/data/part-*")
    assert contents == {"a/1.jpg": b"1", "b/2.jpg": b"22"}
    assert [file.container for file in listing.files] == [
        f"{REMOTE}/data/part-0.tar",
        f"{REMOTE}/data/part-1.tar.gz",
    ]
    with pytest.raises(InputError, match="no file matches"):
        find_containers(SourceSpec(input_tar=f"{REMOTE}/*/x/part-*"))
    with pytest.raises(InputError, match="--input_tar: mem://bucket/data/none: cannot be opened"):
        find_containers(SourceSpec(input_tar=f"{REMOTE}/data/none"))


@pytest.mark.slow
def test_tiny_imagenet_itself():
    path = SHARED_DATA / "tiny-imagenet-200.tar.xz"
    if not path.is_file():
        pytest.skip(f"the archive is not there: {path.name} beside the repository")
    listing = list_source(SourceSpec(input_tar=str(path)))
    splits = [file.split for file in listing.files]
    assert (splits.count("train"), splits.count("test")) == (100_000, 10_000)
    assert len({file.label for file in listing.files}) == 200
    assert listing.files[0].path == "train/n01443537/images/n01443537_0.JPEG"
    assert listing.ignored == 203
