"""rnn-codegen: a trained recurrent network becomes one self-contained source file.

model = codegen.read("model.h5")
text = codegen.generate(model, target="numpy")
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from codegen.errors import CodegenError, ReadError, UnsupportedError
from codegen.version import __version__

if TYPE_CHECKING:
    from codegen.model import Model

__all__ = ["CodegenError", "ReadError", "UnsupportedError", "__version__", "generate", "read"]


def read(source: str | Path | Any, config: str | Path | None = None, **options: Any) -> Model:
    """The model in a file, in a file of weights with its JSON config, or a live model.

    A live model is one of Keras, or a torch module with `example=(x,)` and perhaps `states`. Other
    options: `by_name`, `keras_version`, `allow_nonfinite`, `inference`, `max_bytes`, `custom`; see
    `codegen.readers.read`. Raises ReadError where the file cannot be read at all; what is read
    but cannot be converted is reported by `generate`, all at once.
    """
    from codegen.readers import read as read_model

    return read_model(source, config, **options)


def generate(model: Model, target: str = "numpy", name: str | None = None, **options: Any) -> str:
    """The text of one self-contained file; the same for the same model and options, always.

    Options are those of the target (`codegen.targets.TARGETS[target].options`). Raises
    UnsupportedError with every problem of the model.
    """
    from codegen.targets import target_named, words
    from codegen.targets.spine.outline import Origin
    from codegen.text.names import identifier

    chosen = target_named(target)
    name = identifier(model.name) if name is None else chosen.checked_name(name)
    out = name + chosen.suffixes[0]
    origin = Origin(out, words(chosen, out, options))
    return "".join(chosen.render(chosen.lowered(model, options), name, options, origin))
