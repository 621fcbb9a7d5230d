from __future__ import annotations

import pytest

from jpegkeras.dataset_info import ClassInfo
from jpegkeras.errors import InputError
from preprocess.labels import make_classes

TABLE = "class,name,coarse\nn3,a cat,pets\nn1,a dog,pets\nn9,a car,machines\nn2,an owl,birds\n"


def test_titles_and_coarse_classes_of_what_occurs(tmp_path):
    (tmp_path / "labels.csv").write_text(TABLE)
    classes, coarse = make_classes(["n3", "n2", "n1", "n3"], tmp_path / "labels.csv")
    assert classes == (
        ClassInfo("n1", "a dog", 1),
        ClassInfo("n2", "an owl", 0),
        ClassInfo("n3", "a cat", 1),
    )
    assert coarse == ("birds", "pets")


def test_without_labels_each_class_is_its_own_coarse_class():
    classes, coarse = make_classes(["b", "a", "b"], None)
    assert classes == (ClassInfo("a", "a", 0), ClassInfo("b", "b", 1))
    assert coarse == ("a", "b")


def test_classes_that_are_numbers_are_sorted_as_such(tmp_path):
    assert [entry.name for entry in make_classes(["10", "9", "09", "100", "1"], None)[0]] == [
        "1",
        "09",
        "9",
        "10",
        "100",
    ]
    for odd in ("x", "-1", "1.5", "\u0663"):
        ids = ["10", "9", odd]
        assert [entry.name for entry in make_classes(ids, None)[0]] == sorted(ids)
    (tmp_path / "labels.csv").write_text("class,name,coarse\n10,ten,b\n9,nine,a\n")
    classes, coarse = make_classes(["10", "9"], tmp_path / "labels.csv")
    assert classes == (ClassInfo("9", "nine", 0), ClassInfo("10", "ten", 1))
    assert coarse == ("a", "b")


def test_a_number_that_int_does_not_take():
    long = "1" * 5000
    ids = [f"2{long}", long, "7", f"0{long}", "000", "0", "00"]
    assert [entry.name for entry in make_classes(ids, None)[0]] == [
        "0",
        "00",
        "000",
        "7",
        f"0{long}",
        long,
        f"2{long}",
    ]


def test_unknown_class_is_named_with_the_file(tmp_path):
    (tmp_path / "labels.csv").write_text(TABLE)
    with pytest.raises(InputError, match=r"labels\.csv: the data has the unknown class 'n7'"):
        make_classes(["n1", "n7"], tmp_path / "labels.csv")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("class,name\na,b\n", "column coarse is missing"),
        ("class,name,coarse\na,b,c\na,d,e\n", "line 3: the class 'a' occurs twice"),
        ("class,name,coarse\na,,c\n", "line 2: the name is empty"),
    ],
)
def test_bad_labels(tmp_path, table, message):
    (tmp_path / "labels.csv").write_text(table)
    with pytest.raises(InputError, match=message):
        make_classes(["a"], tmp_path / "labels.csv")
