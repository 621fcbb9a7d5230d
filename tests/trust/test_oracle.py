"""The tools' own parts: libjpeg's answers, the comparison, the checks, the mutations."""

from __future__ import annotations

import contextlib
import dataclasses

import numpy as np
import pytest

from jpegkeras.jpeg import JpegError, JpegFormatError, JpegUnsupportedError, read_coefficients
from tests.jpeg import encoder
from tests.jpeg.conftest import draw_pixels, save
from tests.trust import anatomy, comparison, libjpeg, mutations, properties, seeds
from tests.trust.minimize import minimize

IMAGE = encoder.draw_image(1, 20, 30, [(2, 2), (1, 1), (1, 1)], density=0.1)
JPEG = encoder.encode(IMAGE)


@pytest.fixture(scope="module")
def oracle():
    loaded = libjpeg.load()
    if loaded is None:
        pytest.skip(f"needs {libjpeg.NEEDS}")
    return loaded


def test_libjpeg_reads_what_was_written(oracle):
    reading = oracle.read(JPEG)
    assert (reading.error, reading.warnings, reading.color_space) == (None, (), "YCbCr")
    assert (reading.height, reading.width, reading.progressive) == (20, 30, False)
    for plane, expected in zip(reading.planes, IMAGE.planes):
        np.testing.assert_array_equal(plane.coefficients, expected.coefficients)
        table = IMAGE.quantization[expected.quantization]
        np.testing.assert_array_equal(plane.quantization, table)
        assert plane.sampling == (expected.h, expected.v)


def test_libjpeg_survives_what_it_refuses(oracle):
    assert oracle.read(b"").error == "Empty input file"
    assert oracle.read(b"no JPEG").error.startswith("Not a JPEG file")
    huge = JPEG.replace(encoder.sof(IMAGE)[5:9], b"\xff\x00\xff\x00")
    assert "Backing store" in oracle.read(huge, max_memory=1 << 20).error
    assert oracle.read(JPEG).error is None


def test_libjpeg_names_its_warnings(oracle):
    reading = oracle.read(JPEG[:-40])
    assert reading.error is None
    assert "Premature end of JPEG file" in reading.warnings


def test_both_oracles_agree(oracle):
    from tests.trust.jpeglib_oracle import JpeglibOracle

    other = JpeglibOracle()
    for data in (
        JPEG,
        save(draw_pixels(1, 30, 50), progressive=True),
        save(draw_pixels(1, 9, 9, 1)),
    ):
        a, b = oracle.read(data), other.read(data)
        assert dataclasses.replace(a, planes=()) == dataclasses.replace(b, planes=())
        for x, y in zip(a.planes, b.planes):
            np.testing.assert_array_equal(x.coefficients, y.coefficients)
            np.testing.assert_array_equal(x.quantization, y.quantization)
            assert x.sampling == y.sampling


def test_comparison_sees_each_difference(oracle):
    image = read_coefficients(JPEG)
    assert comparison.compare(image, JPEG, oracle, 1 << 30) == ("same", "")
    for change, wrong in (
        (lambda c: c.coefficients.__setitem__((0, 0, 5), 99), "coefficients"),
        (lambda c: c.quantization.__setitem__(3, 999), "quantisation tables"),
    ):
        image = read_coefficients(JPEG)
        change(image.components[2])
        assert comparison.compare(image, JPEG, oracle, 1 << 30).wrong == wrong
    other = encoder.encode(dataclasses.replace(IMAGE, width=29))
    answer = comparison.compare(read_coefficients(JPEG), other, oracle, 1 << 30)
    assert answer.wrong == "size"


def test_what_follows_a_sequential_image_is_told_apart(oracle):
    again = JPEG[:-2] + encoder.sos(IMAGE, [0]) + b"\0" * 9 + b"\xff\xd9"
    answer = comparison.compare(read_coefficients(JPEG), again, oracle, 1 << 30)
    assert answer.verdict.startswith("same up to the last scan; after it ")
    assert not answer.wrong


def test_a_height_in_dnl_is_compared_too(oracle):
    data = seeds.with_dnl(JPEG)
    assert oracle.read(data).error.startswith("Empty JPEG image")
    answer = comparison.compare(read_coefficients(JPEG), data, oracle, 1 << 30)
    assert answer == ("DNL: same", "")


@pytest.mark.parametrize(
    ("broken", "kind"),
    [
        (IndexError("index 7 is out of bounds"), "exception"),
        (MemoryError(), "exception"),
        (JpegError("neither of the two", "<bytes>", 0), "exception"),
        (JpegFormatError("x", "<bytes>", len(JPEG) + 1), "error"),
        (JpegFormatError("x", "other", 0), "error"),
        (JpegFormatError("two\nlines", "<bytes>", 0), "error"),
    ],
)
def test_errors_that_must_not_be_are_found(monkeypatch, broken, kind):
    def read(*arguments, **options):
        raise broken

    monkeypatch.setattr(properties, "read_coefficients", read)
    report = properties.check_input(1, JPEG, None)
    assert kind in {problem.kind for problem in report.problems}


def test_an_input_that_takes_too_long_or_too_much_is_found(monkeypatch):
    monkeypatch.setattr(properties, "MAX_SECONDS", -1.0)
    monkeypatch.setattr(properties, "MAX_GROWTH", -1)
    kinds = {problem.kind for problem in properties.check_input(1, JPEG, None).problems}
    assert kinds == {"slow", "memory"}


def test_wrong_coefficients_are_found(monkeypatch, oracle):
    def read(data, num_frequencies=64, **options):
        image = read_coefficients(data, num_frequencies, **options)
        image.components[0].coefficients[0, 0, 0] += 1
        return image

    monkeypatch.setattr(properties, "read_coefficients", read)
    problems = properties.check_input(1, JPEG, oracle).problems
    assert [problem.kind for problem in problems] == ["libjpeg"]
    assert problems[0].text.startswith("differs in coefficients")


def test_answers_that_depend_on_the_frequencies_are_found(monkeypatch):
    def read(data, num_frequencies=64, **options):
        if num_frequencies == 64:
            raise JpegFormatError("damaged", "<bytes>", 0)
        return read_coefficients(data, num_frequencies, **options)

    monkeypatch.setattr(properties, "read_coefficients", read)
    numbers = range(20)
    found = {p.kind for n in numbers for p in properties.check_input(n, JPEG, None).problems}
    assert "frequencies" in found


def test_batches_that_differ_are_found(monkeypatch):
    inputs = [JPEG, save(draw_pixels(1, 9, 9)), JPEG[:100], b""]
    group = [(data, properties.check_input(0, data, None)) for data in inputs]
    assert not properties.check_batch(group, 16, 2).problems
    monkeypatch.setattr(properties, "read_batch", lambda items, n, threads: [])
    assert [p.kind for p in properties.check_batch(group, 16, 2).problems] == ["batch"]


def test_seeds_are_valid_or_refused_by_name():
    names = [name for name, _ in seeds.all_seeds()]
    assert len(names) == len(set(names)) > 80
    for name, data in seeds.all_seeds():
        assert 100 < len(data) < 4096, name
        # What a progressive image without EOI lacks, nobody can tell.
        expected = JpegFormatError if name == "progressive, no EOI" else JpegUnsupportedError
        with contextlib.suppress(expected):  # any other error fails the test
            read_coefficients(data)


def test_inputs_depend_on_seed_and_number_alone():
    start = seeds.all_seeds()
    inputs = [mutations.make_input(3, number, start) for number in range(300)]
    assert inputs[250] == mutations.make_input(3, 250, start)
    assert len(set(inputs)) > 290
    assert inputs[7] != mutations.make_input(4, 7, start)
    assert max(map(len, inputs)) <= mutations.MAX_BYTES


@pytest.mark.parametrize("mutation", sorted(set(mutations._MUTATIONS), key=lambda m: m.__name__))
def test_each_mutation_changes_something_and_survives_rubbish(mutation):
    start = seeds.all_seeds()
    changed = 0
    for number in range(200):
        draws = mutations.Draws(0, number)
        before = draws.pick(start)[1] if number % 4 else draws.random_bytes(1 + draws.below(40))
        after = bytearray(before)
        mutation(after, draws, start)
        changed += bytes(after) != before
    assert changed > 40


def test_pieces_cover_a_file():
    for name, data in seeds.all_seeds():
        pieces = anatomy.pieces(data)
        assert pieces[0] == (anatomy.SOI, 0, 2)
        for before, after in zip(pieces, pieces[1:]):
            assert before.end == after.start, name
    assert anatomy.pieces(b"") == []
    assert anatomy.pieces(b"\xff\xd8\xff\xe0\x00") == [(anatomy.SOI, 0, 2)]
    assert anatomy.pieces(b"\xff\xd8\0\0\xff\0\xff\xd9") == [(anatomy.SOI, 0, 2)]
    skipped = anatomy.pieces(b"\xff\xd8\0\0\xff\0\xff\xd9", skip=True)
    assert skipped == [(anatomy.SOI, 0, 2), (anatomy.EOI, 6, 8)]


def test_minimize_keeps_what_shows_the_problem():
    data = JPEG + b"needle" + JPEG
    smaller = minimize(data, lambda candidate: b"need" in candidate, seconds=5)
    assert smaller == b"need"
    assert minimize(b"abc", lambda candidate: len(candidate) == 3, seconds=5) == b"\0\0\0"
