from __future__ import annotations

import os

import pytest

from jpegkeras.errors import InputError
from preprocess.sources import SourceFile, list_csv, list_folder
from tests.preprocess.helpers import write_files


def found(listing):
    return [(file.path, file.label, file.split) for file in listing.files]


def test_class_folders_at_any_depth_and_other_files_counted(tmp_path):
    write_files(
        tmp_path,
        {
            "b/deep/er/x y.JPG": b"12345",
            "b/a.jpeg": b"",
            "a/z.JPE": b"",
            "a/picture.PNG": b"",
            "a/notes.txt": b"",
            "a/.hidden.jpg": b"",
            ".cache/c.jpg": b"",
            "a/.cache/c.jpg": b"",
            "top.jpg": b"",
        },
    )
    listing = list_folder(tmp_path)
    assert listing.files == (
        SourceFile("a/picture.PNG", "a", None, 0),
        SourceFile("a/z.JPE", "a", None, 0),
        SourceFile("b/a.jpeg", "b", None, 0),
        SourceFile("b/deep/er/x y.JPG", "b", None, 5),
    )
    assert listing.ignored == 3


def test_names_that_are_not_utf8(tmp_path):
    name = os.fsdecode(b"caf\xe9.jpg")
    write_files(tmp_path, {f"a/{name}": b""})
    assert [os.fsencode(file.path) for file in list_folder(tmp_path).files] == [b"a/caf\xe9.jpg"]


def test_links_to_files_are_followed_and_circles_are_not(tmp_path):
    write_files(tmp_path / "in", {"a/1.jpg": b"123"})
    (tmp_path / "in/a/2.jpg").symlink_to(tmp_path / "in/a/1.jpg")
    (tmp_path / "in/a/gone.jpg").symlink_to(tmp_path / "nowhere")
    (tmp_path / "in/a/circle").symlink_to(tmp_path / "in")
    listing = list_folder(tmp_path / "in")
    assert [(f.path, f.size) for f in listing.files] == [
        ("a/1.jpg", 3),
        ("a/2.jpg", 3),
        ("a/gone.jpg", -1),
    ]


@pytest.mark.parametrize("name", ["test", "val", "validation"])
def test_given_split_folders(tmp_path, name):
    write_files(tmp_path, {"train/a/images/1.jpg": b"", f"{name}/a/2.jpg": b"", "x.txt": b""})
    assert found(list_folder(tmp_path)) == sorted(
        [("train/a/images/1.jpg", "a", "train"), (f"{name}/a/2.jpg", "a", "test")]
    )


def test_a_class_may_be_called_train(tmp_path):
    write_files(tmp_path, {"train/1.jpg": b"", "test/2.jpg": b""})
    assert found(list_folder(tmp_path)) == [
        ("test/2.jpg", "test", None),
        ("train/1.jpg", "train", None),
    ]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "the folder is empty"),
        ({"a/1.txt": b""}, r"no image found among 1 file"),
        ({"1.jpg": b""}, "the images lie directly in this folder"),
        ({"train/a/1.jpg": b"", "val/a/1.jpg": b"", "test/a/1.jpg": b""}, "test/ and val/ could"),
        ({"train/a/1.jpg": b"", "test/1.jpg": b""}, "test: there are no class folders"),
        ({"train/a/1.jpg": b""}, "there is train/ but no test/, val/, validation/"),
        ({"train/a/1.jpg": b"", "test/a/1.txt": b""}, "test: no image found"),
    ],
)
def test_bad_folders(tmp_path, files, message):
    write_files(tmp_path, files)
    with pytest.raises(InputError, match=message):
        list_folder(tmp_path)


def test_no_folder(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        list_folder(tmp_path / "none")
    with pytest.raises(InputError, match="not a folder"):
        list_folder(write_files(tmp_path, {"file": b""}) / "file")


def test_csv_beside_its_files_or_with_a_folder(tmp_path):
    table = b'\xef\xbb\xbfpath,label,id\n"x, y.jpg",cat,1\n\n z.jpg, dog,2\n./missing.jpg,dog,3\n'
    write_files(tmp_path, {"t/list.csv": table, "t/x, y.jpg": b"1", "u/x, y.jpg": b"12"})
    listing = list_csv(tmp_path / "t/list.csv")
    assert listing.root == tmp_path / "t"
    assert listing.files == (
        SourceFile(" z.jpg", "dog", None, -1),
        SourceFile("missing.jpg", "dog", None, -1),
        SourceFile("x, y.jpg", "cat", None, 1),
    )
    assert list_csv(tmp_path / "t/list.csv", tmp_path / "u").files[2].size == 2


def test_csv_with_split_and_names_that_are_not_utf8(tmp_path):
    table = (
        b"path,label,split\ncaf\xe9.jpg,a,train\nb.jpg,a,val\nc.jpg,a,validation\nd.jpg,a,test\n"
    )
    write_files(tmp_path, {"list.csv": table, os.fsdecode(b"caf\xe9.jpg"): b"123"})
    files = {os.fsencode(file.path): file for file in list_csv(tmp_path / "list.csv").files}
    assert [files[key].split for key in (b"b.jpg", b"c.jpg", b"d.jpg")] == ["test"] * 3
    assert (files[b"caf\xe9.jpg"].split, files[b"caf\xe9.jpg"].size) == ("train", 3)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("", "the column path is missing.*got an empty file"),
        ("path,class\na,b\n", "the column label is missing.*got path,class"),
        ("path,label\n", "no row below the header"),
        ("path,label\na.jpg,\n", "line 2: the label is empty"),
        ("path,label\na.jpg\n", "line 2: the label is empty"),
        ("path,label,split\na.jpg,a,dev\n", "line 2: unknown split 'dev'"),
        ("path,label\na.jpg,a\nb.jpg,a\n./a.jpg,b\n", "line 4: a.jpg is there already, in line 2"),
        ('path,label\n"a.jpg,a\n', "line 2: not valid CSV"),
    ],
)
def test_bad_csv(tmp_path, table, message):
    (tmp_path / "list.csv").write_text(table)
    with pytest.raises(InputError, match=message):
        list_csv(tmp_path / "list.csv")


def test_csv_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        list_csv(tmp_path / "list.csv")
    (tmp_path / "list.csv").write_text("path,label\na,b\n")
    with pytest.raises(InputError, match="no such folder"):
        list_csv(tmp_path / "list.csv", tmp_path / "nowhere")
