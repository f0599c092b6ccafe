"""The table of docs/layers.md: what each layer and option converts to, found by lowering it.

`python -m docs.make.support` prints the page. Nothing in it is written by hand but the examples and
the reasons why a Keras layer is missing.
"""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from codegen import generate
from codegen.errors import CodegenError
from codegen.layers import attention, convolution, core, dense, normalization, padding, pooling
from codegen.layers import recurrent as rnn
from codegen.layers.conv_lstm import ConvLSTMCell, ConvRecurrent
from codegen.layers.locally_connected import LocallyConnected
from codegen.layers.masking import Masking
from codegen.layers.merging import Concatenate, Dot, Merge
from codegen.layers.reshaping import Flatten, Permute, RepeatVector, Reshape
from codegen.layers.transposed_convolution import TransposedConvolution
from codegen.layers.wrappers import TimeDistributed
from codegen.lowering import lower
from codegen.model import Array, Graph, Input, Layer, Model, Node, Ref
from codegen.program.activations import Activation
from codegen.readers.keras import activations
from codegen.readers.settings import Config
from codegen.targets import TARGETS
from docs.make.refusals import REFUSALS

Shape = tuple[int | None, ...]
SEQUENCE: Shape = (None, 4)
WINDOW: Shape = (8, 4)
IMAGES: Shape = (None, 6, 4)


@dataclass(frozen=True)
class Example:
    """One row of the table: a layer with an option, on inputs of one shape."""

    class_name: str
    option: str
    layer: Layer
    shape: Shape = SEQUENCE
    inputs: int = 1


@dataclass(frozen=True)
class Answer:
    """What came of an example."""

    example: Example
    step: str  # "yes" with what to know, or "no: why"
    predict: str
    targets: tuple[str, ...]  # those that make a file of it


def _zeros(*shape: int) -> Array:
    return np.zeros(shape, np.float32)


def _named(class_name: str) -> dict[str, Any]:
    return {"name": "layer", "class_name": class_name}


def _windows() -> Iterator[Example]:
    for name, rank, shape in (("1D", 1, SEQUENCE), ("2D", 2, IMAGES)):
        ones = (1,) * rank
        three = (3,) * rank
        fixed: Shape = WINDOW if rank == 1 else (8, 6, 4)

        def conv(
            option: str,
            size: int = 3,
            stride: int = 1,
            dilation: int = 1,
            mode: str = "valid",
            groups: int = 1,
            first: bool = False,
            name: str = name,
            rank: int = rank,
            shape: Shape = shape,
        ) -> Example:
            if first:
                shape = (4, 8, 6)[: rank + 1]
            layer = convolution.Convolution(
                **_named(f"Conv{name}"),
                kernel=_zeros(*(size,) * rank, 4 // groups, 4),
                bias=_zeros(4),
                strides=(stride,) * rank,
                dilations=(dilation,) * rank,
                padding=mode,
                groups=groups,
                channels_first=first,
            )
            return Example(f"Conv{name}", option, layer, shape)

        yield conv("padding=valid")
        if rank == 1:
            yield conv("padding=causal", mode="causal")
        yield conv("padding=same", mode="same")
        yield conv("strides=2", stride=2)
        yield conv("dilation_rate=2", size=2, dilation=2)
        yield conv("groups=2", groups=2)
        yield conv("data_format=channels_first", first=True)

        for kind, pointwise in ((f"DepthwiseConv{name}", None), (f"SeparableConv{name}", 5)):
            for mode in ("valid", "same"):
                layer: Layer = convolution.DepthwiseConvolution(
                    **_named(kind),
                    kernel=_zeros(*three, 4, 2),
                    pointwise=None if pointwise is None else _zeros(8, 5),
                    bias=None,
                    strides=ones,
                    dilations=ones,
                    padding=mode,
                )
                yield Example(kind, f"padding={mode}", layer, shape)
        for mode, size in (("valid", 3), ("same", 3), ("valid, kernel no longer than stride", 2)):
            layer = TransposedConvolution(
                **_named(f"Conv{name}Transpose"),
                kernel=_zeros(*(size,) * rank, 3, 4),
                bias=None,
                strides=(2,) * rank,
                dilations=ones,
                padding=mode.split(",")[0],
            )
            yield Example(f"Conv{name}Transpose", f"strides=2, padding={mode}", layer, shape)
        for kind, title in (("max", "Max"), ("average", "Average")):
            for option, stride, mode in (
                ("strides=1", 1, "valid"),
                ("strides=pool_size", 3, "valid"),
                ("strides=pool_size, padding=same", 3, "same"),
                ("strides=1, padding=same", 1, "same"),
            ):
                layer = pooling.Pooling(
                    **_named(f"{title}Pooling{name}"),
                    kind=kind,
                    sizes=three,
                    strides=(stride,) * rank,
                    padding=mode,
                )
                yield Example(f"{title}Pooling{name}", option, layer, shape)
            layer = pooling.AdaptivePooling(
                **_named(f"Adaptive{title}Pooling{name}"), kind=kind, sizes=three
            )
            yield Example(f"Adaptive{title}Pooling{name}", "", layer, fixed)
            layer = pooling.GlobalPooling(
                **_named(f"Global{title}Pooling{name}"), kind=kind, axes=rank
            )
            yield Example(f"Global{title}Pooling{name}", "", layer, shape)
        inner = ((0, 0),) * (rank - 1)
        for option, pair in (("on the right", (0, 2)), ("on the left alone", (2, 0))):
            layer = padding.ZeroPadding(**_named(f"ZeroPadding{name}"), padding=(pair, *inner))
            yield Example(f"ZeroPadding{name}", option, layer, shape)
        layer = padding.Cropping(**_named(f"Cropping{name}"), cropping=((1, 1), *inner))
        yield Example(f"Cropping{name}", "", layer, shape)
        factors = (2,) * rank
        layer = padding.UpSampling(**_named(f"UpSampling{name}"), factors=factors)
        yield Example(f"UpSampling{name}", "interpolation=nearest", layer, shape)
        if rank == 2:
            for option, sizes in (("bilinear", (2, 2)), ("bilinear, time as it is", (1, 2))):
                layer = padding.UpSampling(
                    **_named(f"UpSampling{name}"), factors=sizes, bilinear=True
                )
                yield Example(f"UpSampling{name}", f"interpolation={option}", layer, shape)
        steps: Shape = (None, 6, 4) if rank == 1 else (None, 6, 5, 4)
        cell = ConvLSTMCell(
            **_named(f"ConvLSTM{name}"),
            kernel=_zeros(*three, 4, 12),
            recurrent_kernel=_zeros(*three, 3, 12),
            bias=None,
            strides=ones,
            dilations=ones,
        )
        layer = ConvRecurrent(**_named(f"ConvLSTM{name}"), cell=cell, return_sequences=True)
        yield Example(f"ConvLSTM{name}", "", layer, steps)
        positions, columns = (6, 12) if rank == 1 else (24, 36)
        layer = LocallyConnected(
            **_named(f"LocallyConnected{name}"),
            kernel=_zeros(positions, columns, 3),
            bias=None,
            filters=3,
            sizes=three,
            strides=ones,
        )
        yield Example(f"LocallyConnected{name}", "", layer, fixed)


def _normalisations() -> Iterator[Example]:
    def one(
        name: str, kind: str, option: str, axes: tuple[int, ...], groups: int | None = None
    ) -> Example:
        layer = normalization.AxisNormalization(
            **_named(name), kind=kind, axes=axes, epsilon=1e-3, groups=groups
        )
        return Example(name, option, layer)

    yield one("LayerNormalization", "layer", "axis=-1", (-1,))
    yield one("LayerNormalization", "layer", "over time too", (1, 2))
    yield one("RMSNormalization", "rms", "axis=-1", (-1,))
    yield one("UnitNormalization", "unit", "axis=-1", (-1,))
    yield one("GroupNormalization", "layer", "", (-1,), 2)
    scale, offset = _zeros(4), _zeros(4)
    batch = core.BatchNormalization(**_named("BatchNormalization"), scale=scale, offset=offset)
    yield Example("BatchNormalization", "axis=-1", batch)
    adapted = normalization.AdaptedNormalization(
        **_named("Normalization"), scale=scale, offset=offset
    )
    yield Example("Normalization", "axis=-1", adapted)
    yield Example(
        "Rescaling", "", core.Rescaling(**_named("Rescaling"), scale=_zeros(1), offset=_zeros(1))
    )


def _attentions() -> Iterator[Example]:
    for option, causal in (("", False), ("use_causal_mask", True)):
        yield Example(
            "Attention", option, attention.Attention(**_named("Attention"), causal=causal), inputs=2
        )
    additive = attention.Attention(**_named("AdditiveAttention"), mode="additive")
    yield Example("AdditiveAttention", "", additive, inputs=2)
    for name, keys in (("MultiHeadAttention", 2), ("GroupQueryAttention", 1)):
        for option, causal, window in (
            ("", False, None),
            ("use_causal_mask", True, None),
            ("use_causal_mask, sliding_window", True, 3),
        ):
            layer = attention.MultiHeadAttention(
                **_named(name),
                query_kernel=_zeros(4, 2, 3),
                query_bias=None,
                key_kernel=_zeros(4, keys, 3),
                key_bias=None,
                value_kernel=_zeros(4, keys, 3),
                value_bias=None,
                output_kernel=_zeros(2, 3, 4),
                output_bias=None,
                causal=causal,
                window=window,
            )
            yield Example(name, option, layer, inputs=2)
    yield Example("Dot", "axes over time", Dot(**_named("Dot"), axes=(1, 1)), inputs=2)


def _recurrent() -> Iterator[Example]:
    cells: dict[str, rnn.Cell] = {
        "SimpleRNN": rnn.SimpleRNNCell(
            **_named("SimpleRNN"), kernel=_zeros(4, 3), recurrent_kernel=_zeros(3, 3), bias=None
        ),
        "GRU": rnn.GRUCell(
            **_named("GRU"), kernel=_zeros(4, 9), recurrent_kernel=_zeros(3, 9), bias=None
        ),
        "LSTM": rnn.LSTMCell(
            **_named("LSTM"), kernel=_zeros(4, 12), recurrent_kernel=_zeros(3, 12), bias=None
        ),
    }
    for name, cell in cells.items():
        for option, sequences, backwards in (
            ("return_sequences=True", True, False),
            ("return_sequences=False", False, False),
            ("go_backwards=True", True, True),
        ):
            layer = rnn.Recurrent(
                **_named(name), cell=cell, return_sequences=sequences, go_backwards=backwards
            )
            yield Example(name, option, layer)
    forward = rnn.Recurrent(**_named("GRU"), cell=cells["GRU"], return_sequences=True)
    backward = rnn.Recurrent(
        **_named("GRU"), cell=cells["GRU"], return_sequences=True, go_backwards=True
    )
    for name, cell in (
        ("RNN, of one of these cells", cells["GRU"]),
        (
            "RNN, of StackedRNNCells",
            rnn.StackedCells(
                **_named("StackedRNNCells"),
                cells=(
                    cells["LSTM"],
                    rnn.GRUCell(
                        **_named("GRUCell"),
                        kernel=_zeros(3, 9),
                        recurrent_kernel=_zeros(3, 9),
                        bias=None,
                    ),
                ),
            ),
        ),
    ):
        layer = rnn.Recurrent(**_named("RNN"), cell=cell, return_sequences=True)
        yield Example(name, "", layer)
    both = rnn.Bidirectional(
        **_named("Bidirectional"),
        forward=forward,
        backward=backward,
        merge_mode="concat",
        return_sequences=True,
    )
    yield Example("Bidirectional", "", both)


def _others() -> Iterator[Example]:
    flat = core.Dense(**_named("Dense"), kernel=_zeros(4, 3), bias=None)
    yield Example("Dense", "", flat)
    yield Example(
        "Embedding", "", core.Embedding(**_named("Embedding"), table=_zeros(9, 3)), (None,)
    )
    yield Example("Masking", "", Masking(**_named("Masking")))
    inner = Graph(
        (
            Node(Input(name="x", class_name="InputLayer", shape=(4,))),
            Node(
                core.Dense(name="inner", class_name="Dense", kernel=_zeros(4, 3), bias=None),
                (Ref(0),),
            ),
        ),
        (0,),
        (Ref(1),),
    )
    yield Example("TimeDistributed", "", TimeDistributed(**_named("TimeDistributed"), graph=inner))
    relu = Activation("relu")
    yield Example("Activation", "", core.ActivationLayer(**_named("Activation"), activation=relu))
    softmax = Activation("softmax")
    for option, axis in (("axis=-1", -1), ("over time", 1)):
        layer: Layer = core.ActivationLayer(**_named("Softmax"), activation=softmax, axis=axis)
        yield Example("Softmax", option, layer)
    for name in ("ReLU", "LeakyReLU", "ELU", "ThresholdedReLU"):
        own = activations.LAYERS[name](Config({}))
        yield Example(name, "", core.ActivationLayer(**_named(name), activation=own))
    for option, length in (("shared over time", 1), ("not shared over time", 8)):
        layer = core.PReLU(**_named("PReLU"), alpha=_zeros(length, 4))
        yield Example("PReLU", option, layer, SEQUENCE if length == 1 else WINDOW)
    for name in ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"):
        yield Example(name, "", Merge(**_named(name), mode=name.lower()), inputs=2)
    for option, axis in (("axis=-1", -1), ("over time", 1)):
        layer = Concatenate(**_named("Concatenate"), axis=axis)
        yield Example("Concatenate", option, layer, inputs=2)
    yield Example("Flatten", "", Flatten(**_named("Flatten")), WINDOW)
    repeated = RepeatVector(**_named("RepeatVector"), count=3)
    yield Example("RepeatVector", "", repeated, (4,))
    for option, order in (("time stays first", (1, 3, 2)), ("moves time", (2, 1, 3))):
        yield Example("Permute", option, Permute(**_named("Permute"), dims=order), IMAGES)
    yield Example("Reshape", "of each step", Reshape(**_named("Reshape"), shape=(-1, 2, 2)))
    yield Example("Reshape", "across steps", Reshape(**_named("Reshape"), shape=(4, 8)), WINDOW)
    einsum = dense.EinsumDense(
        **_named("EinsumDense"), equation="abc,cd->abd", kernel=_zeros(4, 3), bias=None
    )
    yield Example("EinsumDense", "along features", einsum)
    square = _zeros(4, 4)
    highway = dense.Highway(
        **_named("Highway"), kernel=square, bias=None, carry_kernel=square, carry_bias=None
    )
    yield Example("Highway", "(Keras 1)", highway)
    maxout = dense.Maxout(**_named("MaxoutDense"), kernel=_zeros(2, 4, 3), bias=None)
    yield Example("MaxoutDense", "(Keras 1)", maxout)
    bins = np.arange(3.0)
    for mode in ("int", "one_hot"):
        layer = dense.Discretization(**_named("Discretization"), boundaries=bins, mode=mode)
        yield Example("Discretization", f"output_mode={mode}", layer, (None, 1))
    encoding = dense.CategoryEncoding(**_named("CategoryEncoding"), tokens=5, mode="one_hot")
    yield Example("CategoryEncoding", "output_mode=one_hot", encoding, (None, 1))


def examples() -> tuple[Example, ...]:
    """Every row of the table."""
    parts = (_recurrent(), _others(), _windows(), _normalisations(), _attentions())
    return tuple(example for part in parts for example in part)


def model_of(example: Example) -> Model:
    """A model of the layer alone; with two inputs it is called on one tensor twice."""
    dtype = "int32" if isinstance(example.layer, core.Embedding) else "float32"
    given = Input(name="x", class_name="InputLayer", shape=example.shape, dtype=dtype)
    node = Node(example.layer, (Ref(0),) * example.inputs)
    graph = Graph((Node(given), node), (0,), (Ref(1),))
    return Model("model", graph, "keras_zip", "Keras 3", "model.keras", "0" * 16)


def answer(example: Example) -> Answer:
    """Lower the example, and let every target print it."""
    model = model_of(example)
    try:
        lowered = lower(model)
    except CodegenError as error:
        why = str(error).splitlines()[-1].strip()
        return Answer(example, f"no: {why}", f"no: {why}", ())
    if lowered.step is None:
        reason = re.sub(r"^layer '[^']*' \([^)]*\): ", "", lowered.reason or "")
        step = f"no: {reason}"
    else:
        notes = [f"from step {lowered.warmup + 1} on"] if lowered.warmup else []
        notes += [f"{lowered.hop} rows at a time"] if lowered.hop > 1 else []
        rows = lowered.step.outputs[0].buffer.shape[0]
        out_of_one = rows != 1 and lowered.hop == 1 and lowered.whole.outputs[0].time
        notes += [f"{rows} rows out of one"] if out_of_one else []
        step = "yes" + (f", {', '.join(notes)}" if notes else "")
    made = []
    for target in TARGETS:
        free = target == "c" and lowered.step is None and lowered.whole.lengths
        options: dict[str, Any] = {"max_steps": 64} if free else {}
        try:
            generate(model, target, **options)
        except CodegenError:
            continue
        made.append(target)
    return Answer(example, step, "yes", tuple(made))


# Keras layers that are not converted, and why.
MISSING = {
    "3-D layers (Conv3D, Conv3DTranspose, ConvLSTM3D, MaxPooling3D, AveragePooling3D, "
    "GlobalMaxPooling3D, GlobalAveragePooling3D, AdaptiveMaxPooling3D, AdaptiveAveragePooling3D, "
    "ZeroPadding3D, Cropping3D, UpSampling3D)": (
        "volumes do not occur in recurrent models; a 2-D layer inside TimeDistributed does"
    ),
    "UpSampling2D with bicubic or lanczos interpolation": "nearest and bilinear convert",
    "Lambda, FlaxLayer, JaxLayer, TFSMLayer, TorchModuleWrapper": (
        "hold code, which is never run; --custom says what a class computes"
    ),
    "ReversibleEmbedding": "new in Keras 3.13: an Embedding and a Dense convert",
    "Hashing, HashedCrossing, StringLookup, IntegerLookup, TextVectorization": (
        "look up texts, which generated code does not take"
    ),
    "MelSpectrogram, STFTSpectrogram": "signal transforms: compute them before the model",
    "Resizing, CenterCrop, Pipeline, MaxNumBoundingBoxes and all image augmentation (Random..., "
    "AugMix, AutoContrast, ContrastLimitedAdaptiveHistogramEqualization, CutMix, Equalization, "
    "MixUp, RandAugment, Solarization)": "prepare images; take them out before saving",
    "Wrapper, Layer": "base classes",
}


# Layers that are another by another name, or nothing once a model is trained.
SAME = (
    "CuDNNGRU and CuDNNLSTM are GRU and LSTM; GRUCell, LSTMCell, SimpleRNNCell, ConvLSTM1DCell "
    "and ConvLSTM2DCell are those layers in RNN. Of Keras 1, AtrousConvolution1D and "
    "AtrousConvolution2D are Conv1D and Conv2D, TimeDistributedDense is Dense, Merge is Add and "
    "its kin, SReLU and ParametricSoftplus are activations. SpectralNormalization is the layer "
    "inside. Dropout, AlphaDropout, GaussianDropout, GaussianNoise, SpatialDropout1D, "
    "SpatialDropout2D, SpatialDropout3D, Identity and ActivityRegularization do nothing here."
)


def markdown() -> str:
    """docs/layers.md."""
    lines = [
        "# Layers",
        "",
        "<!-- Made by `python -m docs.make.support > docs/layers.md`; a test keeps it current. -->",
        "",
        "*step* is one time step at a time with the state kept, *predict* a whole input. A layer",
        "streams where its output needs no later step; a model streams where all its layers do.",
        "Every activation may follow every layer; `inspect` tells what holds for a model.",
        "",
        "| Layer | Option | step | predict | Targets |",
        "| --- | --- | --- | --- | --- |",
    ]
    for found in map(answer, examples()):
        row = found.example
        every = len(found.targets) == len(TARGETS)
        made = "all" if every else ", ".join(found.targets) or "none"
        lines.append(
            f"| {row.class_name} | {row.option} | {found.step} | {found.predict} | {made} |"
        )
    lines += ["", *textwrap.wrap(SAME, 98), ""]
    lines += ["## What is refused", ""]
    lines += ["Before anything is written, for every target, `step` and `predict` alike.", ""]
    lines += ["| Where | What | Written by | What would work |", "| --- | --- | --- | --- |"]
    lines += [f"| {r.where} | {r.what} | {r.eras} | {r.instead} |" for r in REFUSALS]
    lines += [""]
    lines += ["## What Keras has and this has not", "", "| Layer | Why |", "| --- | --- |"]
    lines += [f"| {names} | {why} |" for names, why in MISSING.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(markdown())
