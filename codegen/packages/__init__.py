"""A generated file in a folder that a tool chain takes as it is: `convert --package KIND`.

Each kind is a row of PACKAGES and a folder of templates, `templates/packages/KIND`, which has the
layout of the folder that is written. NAME in the path of a template stands for the model's name.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Package:
    """A kind of package.

    `file` is the path of the generated file in it, `options` are those of its target where the
    user does not give others. One with `steps` has an example that runs the model step by step. A
    model cannot be called as one of `taken`, in lower case: it would hide something else.
    """

    name: str
    target: str
    file: str
    options: Mapping[str, Any] = field(default_factory=dict)
    steps: bool = False
    taken: frozenset[str] = frozenset()


# Headers of the C library and of Arduino, which one of the same name would hide.
_HEADERS = frozenset(
    """
    arduino assert complex ctype errno fenv float inttypes iso646 limits locale math new print
    setjmp signal stdalign stdarg stdatomic stdbool stddef stdint stdio stdlib stdnoreturn stream
    string tgmath threads time uchar wchar wctype wire
    """.split()
)
_MCU = {"profile": "mcu"}
# Targets that CMake and Zephyr make by themselves.
_TARGETS = frozenset(
    """
    all app clean depend edit_cache experimental flash help install kernel menuconfig package
    rebuild_cache run test zephyr
    """.split()
)
# Modules of Node.js, which npm takes no packages of the same name as.
_NODE = frozenset(
    """
    assert async_hooks buffer child_process cluster console constants crypto dgram
    diagnostics_channel dns domain events fs http http2 https inspector module net node_modules os
    path perf_hooks process punycode querystring readline repl stream string_decoder sys timers tls
    trace_events tty url util v8 vm wasi worker_threads zlib
    """.split()
)
# Modules that a package of Python needs, or that one of the same name would hide.
_MODULES = frozenset({"numpy", "setuptools", "setup", *map(str.lower, sys.stdlib_module_names)})

PACKAGES: dict[str, Package] = {
    package.name: package
    for package in (
        Package("arduino", "c", "src/NAME.h", _MCU, steps=True, taken=_HEADERS),
        Package("platformio", "c", "src/NAME.h", _MCU, steps=True, taken=_HEADERS),
        Package("espidf", "c", "include/NAME.h", _MCU, steps=True, taken=_HEADERS),
        Package("zephyr", "c", "include/NAME.h", _MCU, steps=True, taken=_HEADERS | _TARGETS),
        Package("cmake", "c", "include/NAME.h", {"cpp": True}, taken=_HEADERS | _TARGETS),
        Package("npm", "javascript", "NAME.js", taken=_NODE),
        Package("python", "c", "src/NAME/NAME.h", taken=_HEADERS | _MODULES),
    )
}
