from __future__ import annotations

import os
import random

import pytest

from jpegkeras.errors import InputError
from preprocess.filesystems.local import LocalFileSystem
from preprocess.reading import SourceReader
from preprocess.sources import SourceFile, list_csv, list_folder
from tests.preprocess.helpers import write_files
from tests.preprocess.sources_helpers import REMOTE, described, list_and_read, serve_remotely


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
    assert listing.root == str(tmp_path)
    assert listing.files == tuple(
        SourceFile(path, label, None, size, (tmp_path / path).stat().st_mtime_ns)
        for path, label, size in [
            ("a/picture.PNG", "a", 0),
            ("a/z.JPE", "a", 0),
            ("b/a.jpeg", "b", 0),
            ("b/deep/er/x y.JPG", "b", 5),
        ]
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
    write_files(tmp_path / "more", {"4.jpg": b"1234", "deep/5.jpg": b""})
    (tmp_path / "in/b").symlink_to(tmp_path / "more")
    listing = list_folder(tmp_path / "in")
    assert [(f.path, f.size) for f in listing.files] == [
        ("a/1.jpg", 3),
        ("a/2.jpg", 3),
        ("b/4.jpg", 4),
        ("b/deep/5.jpg", 0),
    ]


def test_links_to_the_folders_of_splits_and_classes_are_followed(tmp_path):
    write_files(tmp_path / "in", {"val/a/1.jpg": b""})
    write_files(tmp_path / "far", {"classes/a/2.jpg": b"", "b/3.jpg": b""})
    (tmp_path / "in/train").symlink_to(tmp_path / "far/classes")
    (tmp_path / "far/classes/b").symlink_to(tmp_path / "far/b")
    assert found(list_folder(tmp_path / "in")) == [
        ("train/a/2.jpg", "a", "train"),
        ("train/b/3.jpg", "b", "train"),
        ("val/a/1.jpg", "a", "test"),
    ]


def test_pipes_and_folders_with_names_of_images(tmp_path):
    write_files(tmp_path, {"a/1.jpg": b"", "a/folder.jpg/2.jpg": b""})
    os.mkfifo(tmp_path / "a/pipe.jpg")
    assert [file.path for file in list_folder(tmp_path).files] == ["a/1.jpg", "a/folder.jpg/2.jpg"]


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
        ({"train/a/1.txt": b"", "test/a/1.jpg": b""}, "train: no image found"),
        ({"train/a/1.jpg": b"", "val/val_annotations.txt": b"1.jpg\ta\n"}, "val: no image found"),
        (
            {"train/a/1.jpg": b"", "val/val_annotations.txt": b"2.jpg\ta", "val/1.jpg": b""},
            r"val/val_annotations.txt: there is no line for 1\.jpg",
        ),
        (
            {"train/a/1.jpg": b"", "val/val_annotations.txt": b"\n1.jpg a", "val/1.jpg": b""},
            "val_annotations.txt, line 2: expected a file and its class, separated by a tab",
        ),
        (
            {
                "train/a/1.jpg": b"",
                "val/val_annotations.txt": b"1.jpg\ta\n1.jpg\tb",
                "val/1.jpg": b"",
            },
            "val_annotations.txt, line 2: 1.jpg is there already, with the class 'a'",
        ),
        (
            {
                "train/a/1.jpg": b"",
                "val/val_annotations.txt": b"1.jpg\ta",
                "val/1.jpg": b"",
                "test/a/1.jpg": b"",
            },
            "test/ and val/ could both be the test split",
        ),
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
    assert listing.root == str(tmp_path / "t")
    assert listing.files == (
        SourceFile(" z.jpg", "dog", None, -1),
        SourceFile("missing.jpg", "dog", None, -1),
        SourceFile("x, y.jpg", "cat", None, 1, (tmp_path / "t/x, y.jpg").stat().st_mtime_ns),
    )
    assert list_csv(tmp_path / "t/list.csv", tmp_path / "u").files[2].size == 2


def test_csv_with_whole_paths(tmp_path):
    write_files(tmp_path / "far", {"a.jpg": b"123"})
    write_files(tmp_path / "in", {"list.csv": f"path,label\n{tmp_path}/far//a.jpg,a\n".encode()})
    listing, contents = list_and_read(input_csv=f"{tmp_path}/in/list.csv")
    assert described(listing) == [(f"{tmp_path}/far/a.jpg", "a", None, 3)]
    assert contents == {f"{tmp_path}/far/a.jpg": b"123"}


def test_csv_with_a_pipe_and_a_folder(tmp_path):
    write_files(tmp_path, {"list.csv": b"path,label\npipe.jpg,a\nfolder.jpg,a\n"})
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "folder.jpg").mkdir()
    listing = list_csv(tmp_path / "list.csv")
    with SourceReader(listing.root, {}) as reader:
        for file in listing.files:
            with pytest.raises(ValueError, match="^not a regular file$"):
                reader.read(file)


def test_csv_with_a_null_byte(tmp_path):
    write_files(tmp_path, {"list.csv": b"path,label\nnull\0.jpg,a\n"})
    try:
        (file,) = list_csv(tmp_path / "list.csv").files
    except InputError as error:  # before Python 3.11
        assert "line 2: not valid CSV" in str(error)
    else:
        assert file.size == -1


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


TINY = {
    "wnids.txt": b"",
    "train/n1/images/n1_0.JPEG": b"1",
    "train/n1/n1_boxes.txt": b"",
    "train/n2/images/n2_0.JPEG": b"22",
    "val/val_annotations.txt": b"val_1.JPEG\tn2\t0\t0\t62\t57\nval_0.JPEG\tn1\t9\t9\t9\t9\n",
    "val/images/val_0.JPEG": b"333",
    "val/images/val_1.JPEG": b"4444",
    "test/images/test_0.JPEG": b"5",
}
TINY_FILES = [
    ("train/n1/images/n1_0.JPEG", "n1", "train", 1),
    ("train/n2/images/n2_0.JPEG", "n2", "train", 2),
    ("val/images/val_0.JPEG", "n1", "test", 3),
    ("val/images/val_1.JPEG", "n2", "test", 4),
]


def test_tiny_imagenet(tmp_path):
    listing = list_folder(write_files(tmp_path, TINY))
    assert described(listing) == TINY_FILES
    assert listing.ignored == 4  # two lists, the annotations, the test image without a class


def test_the_order_on_the_disk_does_not_matter(tmp_path, monkeypatch):
    files = {f"{name}/{index}.jpg": b"" for name in "ab" for index in range(50)}
    write_files(tmp_path, {**files, "a\nb/1.jpg": b"", os.fsdecode(b"a\xff/1.jpg"): b""})
    listing = list_folder(tmp_path)
    assert [os.fsencode(file.path) for file in listing.files] == sorted(
        os.fsencode(file.path) for file in listing.files
    )
    walk = LocalFileSystem.walk
    for seed in range(3):
        monkeypatch.setattr(
            LocalFileSystem,
            "walk",
            lambda self, folder, seed=seed: random.Random(seed).sample(
                found := sorted(walk(self, folder)), len(found)
            ),
        )
        assert list_folder(tmp_path) == listing


@pytest.mark.parametrize(
    "labels",
    [
        b"n2\nn1\nn1\n",
        b"\xef\xbb\xbfn2\r\nn1\r\nn1\r\n\r\n",
        b"3.jpg\tn1\n1.jpg\tn2\nb 2.jpg\tn1\n",
        b"3.jpg, n1\n1.jpg, n2\nb 2.jpg, n1\nelse.jpg, n1\n",
        b"file,class,more\n3.jpg,n1,0\n1.jpg,n2,0\nb 2.jpg,n1,0\n",
        b"sub/1.jpg\tn2\n3.jpg\tn1\nb 2.jpg\tn1\n",
    ],
)
def test_classes_of_a_flat_test_folder(tmp_path, labels):
    tree = {"train/n1/x.jpg": b"", "train/n2/y.jpg": b"", "val/notes.txt": b""}
    tree |= {"val/3.jpg": b"", "val/sub/1.jpg": b"", "val/b 2.jpg": b""}
    path = write_files(tmp_path, {"in/x": b"", "labels.txt": labels}) / "labels.txt"
    listing = list_folder(write_files(tmp_path / "in", tree), str(path))
    assert found(listing)[2:] == [
        ("val/3.jpg", "n1", "test"),
        ("val/b 2.jpg", "n1", "test"),
        ("val/sub/1.jpg", "n2", "test"),
    ]
    assert listing.ignored == 2


def test_files_and_classes_separated_by_blanks(tmp_path):
    tree = {"train/n1/x.jpg": b"", "train/n2/y.jpg": b"", "val/1.jpg": b"", "val/2.jpg": b""}
    write_files(tmp_path, {"labels.txt": b"2.jpg   n1\n1.jpg n2\n"})
    listing = list_folder(write_files(tmp_path / "in", tree), f"{tmp_path}/labels.txt")
    assert [file.label for file in listing.files if file.split == "test"] == ["n2", "n1"]


def test_the_flat_folder_that_the_classes_fit_is_the_test_split(tmp_path):
    tree = {"train/n1/x.jpg": b"", "val/1.jpg": b"", "test/1.jpg": b"", "test/2.jpg": b""}
    write_files(tmp_path, {"labels.txt": b"n1\n"})
    listing = list_folder(write_files(tmp_path / "in", tree), f"{tmp_path}/labels.txt")
    assert found(listing) == [("train/n1/x.jpg", "n1", "train"), ("val/1.jpg", "n1", "test")]
    assert listing.ignored == 2


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (b"", "labels.txt: the file is empty"),
        (b"n1\n\nn1\n", "labels.txt, line 2: empty"),
        (b"n1\nn1\nn1\n", "there are 3 lines, but 2 images in the test split"),
        (b"1.jpg,n1\n3.jpg,n1\n", "labels.txt: there is no line for 2.jpg"),
        (b"1.jpg,n1\n2.jpg\n", "labels.txt, line 2: there is no class"),
        (b"1.jpg,n1\n2.jpg,\n", "labels.txt, line 2: there is no class"),
        (b"1.jpg,n1\n1.jpg,n2\n", "line 2: 1.jpg is there already, with the class 'n1'"),
        (b"490\n361\n", "none of its classes is one to learn from: it has '361', .* 'n1'"),
    ],
)
def test_bad_classes_of_a_flat_test_folder(tmp_path, labels, message):
    tree = {"train/n1/x.jpg": b"", "val/1.jpg": b"", "val/2.jpg": b""}
    write_files(tmp_path, {"labels.txt": labels})
    with pytest.raises(InputError, match=message):
        list_folder(write_files(tmp_path / "in", tree), f"{tmp_path}/labels.txt")


def test_classes_without_a_test_folder_or_a_file(tmp_path):
    write_files(tmp_path / "in", {"a/1.jpg": b""})
    write_files(tmp_path, {"labels.txt": b"a\n"})
    with pytest.raises(InputError, match="there is no train/ with class folders, but --test_labe"):
        list_folder(tmp_path / "in", f"{tmp_path}/labels.txt")
    write_files(tmp_path / "in", {"train/a/1.jpg": b""})
    with pytest.raises(InputError, match="there is train/ but no test/, val/, validation/"):
        list_folder(tmp_path / "in", f"{tmp_path}/labels.txt")
    with pytest.raises(InputError, match="none.txt: no such file. --test_labels is a text file"):
        list_folder(tmp_path / "in", f"{tmp_path}/none.txt")


def test_a_folder_and_a_csv_elsewhere(tmp_path, monkeypatch):
    system = serve_remotely(monkeypatch, write_files(tmp_path, {"data/a/1.jpg": b"1", "x/b": b""}))
    listing, contents = list_and_read(input_dir=f"{REMOTE}/data")
    assert described(listing) == [("a/1.jpg", "a", None, 1)]
    assert contents == {"a/1.jpg": b"1"}
    table = f"path,label\na/1.jpg,b\n{REMOTE}/data/a/2.jpg,b\n".encode()
    write_files(tmp_path, {"data/list.csv": table})
    system.walked.clear()
    listing = list_csv(f"{REMOTE}/data/list.csv")
    assert described(listing) == [
        ("a/1.jpg", "b", None, 1),
        (f"{REMOTE}/data/a/2.jpg", "b", None, -1),
    ]
    assert system.walked == [f"{REMOTE}/data/a"]
    with pytest.raises(InputError, match="the folder is empty"):
        list_folder(f"{REMOTE}/nowhere")
    write_files(tmp_path, {"data/list.csv": f"path,label\na/1.jpg,b\n{tmp_path}/x,b\n".encode()})
    with pytest.raises(InputError, match="the CSV's paths are on several file systems"):
        list_csv(f"{REMOTE}/data/list.csv")
