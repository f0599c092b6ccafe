"""What the lines of generated files look like, whatever the target and the model."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest

import codegen
from codegen.commands.check import read_banner
from codegen.targets import TARGETS
from codegen.targets.spine.outline import Origin
from codegen.targets.spine.python_lines import broken
from codegen.text import names
from tests.support.fixtures import Case, cases, torch_cases
from tests.support.recorded import REFUSED, read
from tests.support.targets import options, rendered

WIDTH = 100
# One model of each kind is enough: the eras differ in how they are read, not in what is printed.
LATEST = {case.name: case for case in (*cases(), *torch_cases())}
CASES = [
    case
    for name, case in sorted(LATEST.items())
    if name not in REFUSED and str(case) not in REFUSED and case.sources
]
A, B = "bidirectional_forward_candidate_sum", "bidirectional_backward_recurrent_sum"
# What a name may not end in: it would say no more than that there is a value.
EMPTY = re.compile(
    r"\b(value|part|temp|tmp|rest|result|total|sum|product|kept|found)_?\d+\b"
    r"|\w+_(value|temp|tmp|rest|kept|tanh|sigmoid|hard_sigmoid|exp|relu)_\d+\b"
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_no_line_is_long_and_no_name_is_empty(case: Case) -> None:
    """In every target."""
    lowered = read(case)
    calls = [call.inputs for call in case.calls]
    given = "hard_sigmoid_3 " + " ".join(layer.name for layer in lowered.layers)
    known = {*re.findall(r"\w+", given), *map(names.identifier, given.split())}
    for target in sorted(TARGETS):
        text = rendered(lowered, target, **options(target, lowered, calls))
        assert [line for line in text.splitlines() if len(line) > WIDTH] == [], target
        assert {m[0] for m in EMPTY.finditer(text)} - known == set(), target


@pytest.mark.parametrize("target", TARGETS)
def test_no_option_makes_a_line_long(target: str) -> None:
    """With two values of each, whatever the others are."""
    options_of = TARGETS[target].options
    known = [option for option in options_of if option.choices and not option.of_integers]
    lowered = read(LATEST["gru_lstm_dense_td"])
    for values in itertools.product(*({option.default, *option.choices} for option in known)):
        given = {option.name: value for option, value in zip(known, values, strict=True)}
        text = rendered(lowered, target, **given)
        assert [line for line in text.splitlines() if len(line) > WIDTH] == [], given


@pytest.mark.parametrize(
    ("line", "lines"),
    [
        (
            f"    {A}[k] = {A} * {B}[k] + (1.0 - {A}) * {B}[k]",
            [
                f"    {A}[k] = (",
                f"        {A} * {B}[k]",
                f"        + (1.0 - {A}) * {B}[k]",
                "    )",
            ],
        ),
        (
            f"    {A} = tanh({A}[k] + {B}[4 * k + 1])",
            [f"    {A} = tanh(", f"        {A}[k] + {B}[4 * k + 1]", "    )"],
        ),
        (
            f"    {A} = affine({B.upper()}, {A}[:4], {B}[4 * t : 4 * t + 4], {A}[4:9])",
            [
                f"    {A} = affine(",
                f"        {B.upper()},",
                f"        {A}[:4],",
                f"        {B}[4 * t : 4 * t + 4],",
                f"        {A}[4:9],",
                "    )",
            ],
        ),
        (
            f"    {A}[k] = {A}[k] if {B}[t] != 0.0 else {B}[k]",
            [
                f"    {A}[k] = (",
                f"        {A}[k]",
                f"        if {B}[t] != 0.0",
                f"        else {B}[k]",
                "    )",
            ],
        ),
        (
            f"    {A} = self.{B} = {'a' * 20}",
            [f"    {A} = self.{B} = (", f"        {'a' * 20}", "    )"],
        ),
        (
            f"    {A}[max({A}, 0) * {B} + k] = {B}[k]",
            [f"    {A}[", f"        max({A}, 0) * {B} + k", f"    ] = {B}[k]"],
        ),
        (
            f"    x = 1  # {'word ' * 20}",
            [f"    # {('word ' * 19)[:-1]}", "    # word", "    x = 1"],
        ),
    ],
)
def test_python_breaks_where_formatters_do(line: str, lines: list[str]) -> None:
    assert broken(line) == lines


def test_a_long_command_goes_on_below_and_check_reads_it(tmp_path: Path) -> None:
    """In the shell's way: after a backslash, an option beside its value."""
    words = tuple(f"--option-{n}={'v' * 12}" for n in range(9))
    case = LATEST["gru_lstm_dense_td"]
    lowered = read(case)
    for target in TARGETS.values():
        pieces = target.render(lowered, "net", target.complete({}), Origin("net.x", words))
        path = tmp_path / f"net{target.suffixes[0]}"
        path.write_text("".join(pieces))
        assert max(map(len, path.read_text().splitlines())) <= WIDTH
        assert read_banner(path).arguments[2:] == ("net.x", *words)


def test_no_line_of_an_example_is_long_or_ends_in_a_blank() -> None:
    """Of the programs, too, that stand beside the generated files."""
    examples = Path(codegen.__file__).parents[1] / "generated_examples"
    for path in examples.glob("*/*"):
        if path.suffix in (".py", ".js", ".mjs", ".h", ".c", ".html"):
            lines = path.read_text(encoding="utf-8").splitlines()
            assert [line for line in lines if len(line) > WIDTH or line[-1:] == " "] == [], path


@pytest.mark.parametrize("target", ["c", "python"])
@pytest.mark.parametrize(("case", "gates"), [("gru_reset_after", 2), ("lstm", 3)])
def test_halved_gates_say_so(case: str, gates: int, target: str) -> None:
    """Where the product is, and where its result is made a sigmoid."""
    lowered = read(LATEST[case])
    layers = [layer for layer in lowered.layers if "sigmoid" in layer.describe]
    text = rendered(lowered, target)
    method = text[text.index("step") :]
    assert method.count("sigmoid gates come halved") == len(layers)
    lines = [line for line in method.splitlines() if re.search(r"\b0\.5f?[^/#]* \+ 0\.5", line)]
    assert (
        len([line for line in lines if re.search(r"(#|/\*) sigmoid( \*/)?$", line)])
        == len(layers) * gates
    )
