"""Numbers, names, comments and writing of generated files."""

from __future__ import annotations

import os
import re
import stat
import struct

import numpy as np
import pytest

from codegen.text import names, numbers
from codegen.text.writing import write_atomic


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.1, "0.1"),
        (1.0, "1.0"),
        (-0.0, "-0.0"),
        (1e-7, "1e-7"),
        (3e20, "3e20"),
        (1 / 3, "0.33333334"),
        (999999, "999999.0"),
        (1e6, "1e6"),  # so since NumPy 2.3, "1000000.0" before
        (-16777216, "-1.6777216e7"),
    ],
)
def test_number_is_short(value: float, text: str) -> None:
    assert numbers.number(value) == text


def test_number_reads_back_exactly() -> None:
    bits = np.random.default_rng(7).integers(0, 2**32, 20000, dtype=np.uint32)
    values = bits.view(np.float32)
    values = values[np.isfinite(values)]
    for value in values:
        text = numbers.number(float(value))
        assert np.float32(text) == value
        assert struct.unpack("f", struct.pack("f", float(text)))[0] == value
        assert "." in text or "e" in text  # never an integer, which C would give another type
    wide = np.random.default_rng(8).standard_normal(2000) * 1e-9
    assert all(float(numbers.number(v, "float64")) == v for v in wide)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_not_finite_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="number"):
        numbers.number(value)
    with pytest.raises(ValueError, match="too large"):
        list(numbers.rows(np.array([1e300])))


def test_rows_have_six_a_line() -> None:
    text = "".join(numbers.rows(np.arange(10, dtype=np.int64)))
    assert text == "    0, 1, 2, 3, 4, 5,\n    6, 7, 8, 9\n"
    wide = "".join(numbers.rows(np.full(6, -1.2345678e-30, np.float32)))
    assert wide.count("\n") == 2  # three a line where six are too long
    assert list(numbers.rows(np.array([0.5, 1.0]), suffix="f")) == ["    0.5f, 1.0f", "\n"]


def test_rows_of_many_blocks() -> None:
    values = np.arange(11 * (numbers.BLOCK // 4)).reshape(-1, 11).T
    text = "".join(numbers.rows(values))
    assert [int(word) for word in text.replace(",", " ").split()] == np.ravel(values).tolist()
    assert all(line.count(",") == numbers.PER_LINE for line in text.split("\n")[:-2])


@pytest.mark.parametrize(
    "text",
    [
        "a*/b",
        "*\\/",
        "**//",
        "a\nb",
        "end\\",
        "??/",
        "???/",
        '"""',
        "''''",
        "\u202eabc\u2066",
        "\x00\x1b",
        "\ud800",
    ],
)
def test_comment_is_inert(text: str) -> None:
    line = names.comment(f"x {text} y")
    for harmful in ("*/", "/*", "\n", "\\", "??", '"""', "'''", "\u202e", "\u2066", "\x00", "\x1b"):
        assert harmful not in line
    line.encode("utf-8")


def test_comment_is_short() -> None:
    assert len(names.comment("x" * 10000)) == names.LONGEST_COMMENT


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("gru_1", "gru_1"),
        ("encoder/gru 1", "encoder_gru_1"),
        ("_gru__1_", "gru_1"),
        ("1st", "x_1st"),
        ("*/", "x"),
        ("größe", "groe"),  # what has no ASCII form is left out
        ("", "x"),
    ],
)
def test_identifier(text: str, name: str) -> None:
    assert names.identifier(text) == name


def test_a_shortened_name_ends_in_digits_of_its_digest() -> None:
    """Never in a cut word, however alike two names begin. Capitals do not change it."""
    stem = "decoder_bidirectional_1_backward_candidate_recurrent"
    given = [
        names.identifier(f"{stem}_{end}") for end in ("kernel_rows", "kernel_row_2", "weights_here")
    ]
    assert len(set(given)) == 3
    for name in given:
        assert re.fullmatch(rf"{stem}_[0-9a-f]{{{names.DIGITS}}}", name)
    assert names.identifier(f"{stem}_kernel_rows".upper()).lower() == given[0]
    assert names.identifier(f"{stem}_k") == f"{stem}_k"
    assert re.fullmatch("a_[0-9a-f]+", names.identifier("a" + "*" * 1000))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x" * 64, "xxx"),
        (f"{'x' * 64}_kernel", "xxx_kernel"),
        (f"gru_{'y' * 60}_kernel", "gru_yyy_kernel"),
        (f"My{'Attentive' * 5}LSTMCellIn{'y' * 60}", f"My{'Attentive' * 5}LSTMCell"),
        ("LSTM" * 20, "LST"),
        ("word " * 50 + "bidirectional", "_".join(["word"] * 11)),
        ("é" * 247 + "_kernel", "eee"),  # what follows is not looked at
        ("*" * 248 + "a_kernel", "a"),  # of which only a part is
    ],
)
def test_no_word_of_a_shortened_name_is_cut(text: str, words: str) -> None:
    """One that is too long by itself is abbreviated."""
    assert re.fullmatch(f"{words}_[0-9a-f]{{{names.DIGITS}}}", names.identifier(text))
    assert names.identifier(f"{text}a") != names.identifier(f"{text}b")
    assert len(names.identifier(text)) <= names.LONGEST_NAME


def test_names_are_unique_and_not_reserved() -> None:
    handed = names.Names(["for", "class", "None"], ["step"])
    given = [
        handed(text) for text in ("for", "class", "None", "step", "a/b", "a_b", "A_B", "x" * 10000)
    ]
    assert given[:7] == ["for_2", "class_2", "None_2", "step_2", "a_b", "a_b_2", "A_B_3"]
    long = [handed("a_" + "b" * 55 + "_cdefg") for _ in range(3)]
    assert len({name[: names.LONGEST_NAME] for name in (*given, *long)}) == 11
    first = handed("buffer", key=1)
    assert handed("buffer", key=1) == first != handed("buffer", key=2)


def test_write_atomic(tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "out.h"
    assert write_atomic(path, ["one", "\n"]) == 4
    path.chmod(0o640)
    before = path.stat().st_ino
    assert write_atomic(path, ["o", "ne\n"]) == 4
    assert path.stat().st_ino == before
    assert write_atomic(path, ["ü\n"]) == 3
    assert path.read_bytes() == "ü\n".encode()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert [p.name for p in tmp_path.iterdir()] == ["out.h"]


def test_write_atomic_leaves_the_old_file_on_failure(tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "out.h"
    write_atomic(path, ["one\n"])

    def broken(_: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="disk full"):
        write_atomic(path, ["two\n"])
    with pytest.raises(ZeroDivisionError):
        write_atomic(path, (str(1 // n) for n in (1, 0)))
    assert path.read_text() == "one\n"
    assert [p.name for p in tmp_path.iterdir()] == ["out.h"]
