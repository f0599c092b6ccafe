"""Every error that the generator raises on purpose."""

from __future__ import annotations

from dataclasses import dataclass

from codegen.text.visible import visible


class CodegenError(Exception):
    """Root of all errors of this package; its text is one readable message.

    Each argument is a line. Whatever a file or a caller has put into it is made visible and
    shortened here, so no message has to.
    """

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(visible(line) for line in lines))


class UsageError(CodegenError):
    """What was asked for is no choice, whatever the model: a target, a name, an option."""


class ReadError(CodegenError):
    """The file cannot be read as a model: damaged, hostile, incomplete or of an unknown format."""


class NotStreamable(CodegenError):
    """Raised while lowering one step: the layer needs more of the sequence than its past."""


class TooLate(NotStreamable):
    """The same, about rows that an earlier layer gives after the last step; it is named already."""


class NeedsHop(CodegenError):
    """Raised while lowering one step: a stride over time needs `factor` times more rows a step."""

    def __init__(self, factor: int, message: str) -> None:
        super().__init__(message)
        self.factor = factor


class LayerError(CodegenError):
    """One layer cannot be lowered exactly; the message says what was found and what would work."""


class LengthError(LayerError, ValueError):
    """A layer needs a length that only a call tells."""


class NumberError(CodegenError, ValueError):
    """A number that the target cannot hold."""


@dataclass(frozen=True)
class Problem:
    """One reason why a model is refused, with the layer that it is about."""

    layer: str
    class_name: str
    message: str

    def __str__(self) -> str:
        return f"layer {self.layer!r} ({self.class_name}): {self.message}"


class UnsupportedError(CodegenError):
    """The model was read but cannot be converted exactly; `problems` lists every reason."""

    def __init__(self, source: str, problems: tuple[Problem, ...]) -> None:
        lines = [f"{source}: cannot be converted exactly, {len(problems)} problem(s):"]
        lines += [f"  {problem}" for problem in problems]
        super().__init__(*lines)
        self.problems = problems
