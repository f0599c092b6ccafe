"""A generated header as a library for other build systems: `convert --package`.

`arduino` is the layout that the Arduino IDE, arduino-cli and PlatformIO know:

    library.properties
    src/NAME.h                   the generated file
    src/NAME.c                   the one source file with the model in it
    examples/NAME/NAME.ino       a sketch
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from codegen.errors import CodegenError
from codegen.lowered import Lowered
from codegen.targets.base import dtype_of
from codegen.text import writing
from codegen.text.names import comment

# Headers of the C library and of Arduino, which one of the same name would hide.
TAKEN = frozenset(
    """
    arduino assert ctype errno float inttypes limits math new print setjmp signal stdarg stdbool
    stddef stdint stdio stdlib stream string time wire
    """.split()
)


def header_path(name: str) -> str:
    """Where the generated header lies in the package."""
    return f"src/{name}.h"


def files(
    lowered: Lowered, name: str, options: Mapping[str, Any], header: Iterable[str]
) -> dict[str, Iterable[str]]:
    """Every file of an Arduino library in pieces, by its path in the folder."""
    if lowered.step is None:
        raise CodegenError(
            "--package arduino: the model needs its whole input at once, so a sketch cannot run it "
            "step by step; convert it to a header alone"
        )
    if name.lower() in TAKEN:
        raise CodegenError(
            f"--package arduino: {name}.h would hide another header; choose a name with --name"
        )
    return {
        "library.properties": [_properties(lowered, name)],
        header_path(name): header,
        f"src/{name}.c": [
            "/* The one source file that holds the model. */\n",
            f'#define {name.upper()}_IMPLEMENTATION\n#include "{name}.h"\n',
        ],
        f"examples/{name}/{name}.ino": [_sketch(lowered, name, options)],
    }


def _check_folder(out: str, model: str, header: str) -> None:
    """OUT must be new, empty, or a package with this header made before."""
    folder = Path(out)
    try:
        if not folder.exists():
            return
        if not folder.is_dir():
            raise CodegenError(f"{out}: is a file; --package writes a folder")
        if Path(model).exists() and folder.samefile(model):
            raise CodegenError(f"{out}: is the model itself; choose another OUT")
        if any(folder.iterdir()) and not (folder / header).is_file():
            raise CodegenError(f"{out}: holds something else already; choose another OUT")
    except OSError as error:
        raise CodegenError(f"{out}: cannot be read: {error.strerror}") from error


def write(out: str, model: str, texts: Mapping[str, Iterable[str]]) -> int:
    """Every file into the folder OUT, which must not hold anything but such a package.

    Returns the number of bytes of the header.
    """
    header = next(path for path in texts if path.endswith(".h"))
    _check_folder(out, model, header)
    sizes = {}
    for path, text in texts.items():
        target = Path(out) / path
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CodegenError(f"{target}: cannot be written: {error.strerror}") from error
        sizes[path] = writing.write(str(target), text)
    return sizes[header]


def _properties(lowered: Lowered, name: str) -> str:
    layers = [layer for layer in lowered.layers if layer.parameters]
    parameters = sum(layer.parameters for layer in layers)
    entries = {
        "name": name,
        "version": "1.0.0",
        "author": "rnn-codegen",
        "maintainer": "rnn-codegen",
        "sentence": f"Runs the network of {comment(lowered.model.source)}, one step at a time.",
        "paragraph": f"{parameters} parameters in flash, no heap. See src/{name}.h.",
        "category": "Data Processing",
        "url": "",
        "architectures": "*",
        "includes": f"{name}.h",
    }
    return "".join(f"{key}={value}\n" for key, value in entries.items())


def _sketch(lowered: Lowered, name: str, options: Mapping[str, Any]) -> str:
    step = lowered.step
    assert step is not None
    upper = name.upper()
    real = "double" if dtype_of(lowered, options) == "float64" else "float"
    inputs = [(f"x{k}", p.buffer.dtype == "int32") for k, p in enumerate(step.inputs)]
    outputs = [f"y{k}" for k in range(len(step.outputs))]
    lines = [
        "// Runs one step of the model every 10 ms and prints its output.",
        f"#include <{name}.h>",
        "",
        f"static {name.lower()}_state state;  // one for each stream",
    ]
    lines += [
        f"static {'int32_t' if whole else real} {x}[{upper}_INPUT_{k}_SIZE];"
        for k, (x, whole) in enumerate(inputs)
    ]
    lines += [f"static {real} {y}[{upper}_OUTPUT_{k}_SIZE];" for k, y in enumerate(outputs)]
    lines += [
        "",
        "void setup() {",
        "  Serial.begin(115200);",
        f"  {name.lower()}_reset(&state);",
        "}",
        "",
        "void loop() {",
        "  // Put your own readings here, scaled as they were in training.",
    ]
    for k, (x, whole) in enumerate(inputs):
        reading = "0" if whole else f"({real})analogRead(A0) / 1023"
        lines.append(f"  for (int i = 0; i < {upper}_INPUT_{k}_SIZE; ++i) {x}[i] = {reading};")
    arguments = ", ".join(["&state", *(x for x, _ in inputs), *outputs])
    lines.append(f"  if ({name.lower()}_step({arguments})) {{  // 0 while it warms up")
    for k, y in enumerate(outputs):
        lines += [
            f"    for (int i = 0; i < {upper}_OUTPUT_{k}_SIZE; ++i) {{",
            f"      Serial.print({y}[i], 6);",
            "      Serial.print(' ');",
            "    }",
        ]
    lines += ["    Serial.println();", "  }", "  delay(10);", "}", ""]
    return "\n".join(lines)
