"""What may be drawn: every layer of docs/layers.md that Keras 3 has, every operation that converts.

A `Kind` has the options of one class that change numbers. The values of an option are a tuple of
choices, or a function of the drawing (`On`: the random numbers, the shape that the layer meets and
what is chosen already). Options that begin with `call.` are keywords of the call.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Shape = tuple[int | None, ...]


@dataclass
class On:
    """What a choice may look at; `shape` is without the batch axis."""

    r: random.Random
    shape: Shape
    chosen: dict[str, Any] = field(default_factory=dict)
    depth: int = 0  # how many wrappers are around it

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def features(self) -> int:
        return self.shape[-1] or 1

    def pick(self, values: Sequence[Any]) -> Any:
        return self.r.choice(values)

    def axis(self) -> int:
        """An axis after the batch axis, counted from either end."""
        return self.pick([*range(1, self.rank + 1), *range(-self.rank, 0)])


Choice = tuple[Any, ...] | Callable[[On], Any]


@dataclass(frozen=True)
class Kind:
    """A layer, or a function of keras.ops: its options, and the inputs that it takes.

    `ranks` are the numbers of axes after the batch axis. `domain` says which numbers have a
    meaning: the inputs are brought there first. `inputs` 2 and more are merged.
    """

    name: str
    options: Mapping[str, Choice] = field(default_factory=dict)
    needs: tuple[str, ...] = ()  # options without a default
    ranks: tuple[int, ...] = (1, 2, 3)
    inputs: str = "one"
    domain: str = ""
    is_op: bool = False
    weight: float = 1.0

    @property
    def key(self) -> str:
        return f"ops.{self.name}" if self.is_op else self.name


# ---- choices -----------------------------------------------------------------------------------

BOTH = (True, False)
UNITS = (1, 2, 3, 4, 4, 5)
ACTIVATIONS = (
    "celu", "elu", "exponential", "gelu", "hard_shrink", "hard_sigmoid", "hard_silu", "hard_swish",
    "hard_tanh", "leaky_relu", "linear", "log_sigmoid", "log_softmax", "mish", "relu", "relu6",
    "selu", "sigmoid", "silu", "soft_shrink", "softmax", "softplus", "softsign", "sparse_plus",
    "sparse_sigmoid", "squareplus", "swish", "tanh", "tanh_shrink",
)  # fmt: skip
FORMATS = ("channels_first", "channels_last")
SCALES = (0.5, -0.75, 1.5)
EPSILONS = (1e-6, 1e-3, 0.02, 0.5)
ACTIVATION_LAYERS = (
    {"class": "LeakyReLU", "options": {"negative_slope": 0.15}},
    {"class": "ReLU", "options": {"max_value": 0.8, "threshold": 0.1, "negative_slope": 0.3}},
    {"class": "ELU", "options": {"alpha": 0.6}},
    {"class": "Softmax", "options": {}},
)


def activation(on: On) -> Any:
    """A name, and now and then a layer in place of one."""
    if on.r.random() < 0.1:
        return {"layer": on.pick(ACTIVATION_LAYERS)}
    return on.pick(ACTIVATIONS)


def axes_of(values: Sequence[int], rank: int) -> Callable[[On], Any]:
    """One number for all axes, or one for each."""

    def draw(on: On) -> Any:
        if rank == 1 or on.r.random() < 0.4:
            return on.pick(values)
        return [on.pick(values) for _ in range(rank)]

    return draw


def pairs(rank: int, alone: bool = True) -> Callable[[On], Any]:
    """Numbers before and after, for padding and cropping, in every way to say it."""

    def draw(on: On) -> Any:
        way = on.pick([0, 1, 2])
        if way == 0 and alone:
            return on.pick([0, 1, 2])
        if rank == 1:
            return [on.pick([0, 1, 2]), on.pick([0, 1, 2])]
        if way == 1:
            return [on.pick([0, 1, 2]) for _ in range(rank)]
        return [[on.pick([0, 1, 2]), on.pick([0, 1])] for _ in range(rank)]

    return draw


def divisor(on: On) -> int:
    """A number of groups that divides the channels, wherever they are."""
    channels = {n for n in (on.shape[0], on.shape[-1]) if n}
    return int(on.pick([n for n in (1, 2, 3, 4, 5) if any(c % n == 0 for c in channels)]))


def grouped_filters(on: On) -> int:
    return int(on.chosen.get("groups", 1)) * on.pick((1, 2, 3))


def several_axes(on: On) -> Any:
    if on.rank > 1 and on.r.random() < 0.4:
        chosen = on.r.sample(range(1, on.rank + 1), on.r.randint(1, on.rank))
        return [a if on.r.random() < 0.5 else a - on.rank - 1 for a in chosen]
    return on.axis()


def one_axis(on: On) -> int:
    return on.axis()


def sizes_list(on: On, length: int) -> list[float]:
    return [round(on.r.uniform(-1.5, 1.5), 3) for _ in range(length)]


def equation(on: On) -> str:
    letters = "bcdef"[: on.rank]
    last = letters[-1]
    if on.rank > 1 and on.r.random() < 0.4:
        options = [f"a{letters},{letters[-2]}{last}xy->a{letters[:-2]}xy"]
        options += [f"a{letters},{last}x->a{letters[:-2]}x{letters[-2]}"]
        options += [f"a{letters},{letters[-2]}x->a{letters[:-2]}x{last}"]
        options += [f"a{letters},{letters}->a{letters}", f"a{letters},x{last}->a{letters[:-1]}x"]
        return str(on.pick(options))
    way = on.pick([f"a{letters},{last}x->a{letters[:-1]}x", f"...{last},{last}x->...x"])
    if on.r.random() < 0.3:
        way = f"a{letters},{last}xy->a{letters[:-1]}xy"
    return str(way)


def einsum_output(on: On) -> Any:
    """The lengths of the output without the batch axis, by the equation."""
    text = on.chosen["equation"]
    before, after = text.split("->")
    given = before.split(",")[0].replace("...", "")
    known = dict(
        zip(
            given[1:] if "..." not in text else given,
            on.shape[-len(given) :] if "..." in text else on.shape,
            strict=False,
        )
    )
    lengths = [known.get(c) if c in known else on.pick((2, 3, 4)) for c in after.replace("...", "")]
    return lengths if "..." in text else lengths[1:]


def bias_axes(on: On) -> str:
    after = on.chosen["equation"].split("->")[1].replace("...", "")
    body = after if "..." in on.chosen["equation"] else after[1:]
    known = [c for c in body if c in "xy" or on.r.random() < 0.3]
    return "".join(known) or body[-1]


def permutation(on: On) -> list[int]:
    order = list(range(1, on.rank + 1))
    on.r.shuffle(order)
    return order


def factors(total: int, on: On) -> list[int]:
    """Lengths whose product is `total`."""
    parts = []
    while total > 1 and len(parts) < 2 and on.r.random() < 0.8:
        part = on.pick([n for n in range(1, total + 1) if total % n == 0])
        parts.append(part)
        total //= part
    parts.append(total)
    on.r.shuffle(parts)
    return parts


def lengths(on: On) -> list[int]:
    """Other lengths for the same numbers; -1 for a free one, and now and then for another."""
    total = 1
    for n in on.shape:
        total *= n or 1
    parts = factors(total, on)
    if None in on.shape:
        return [-1, *parts]
    if on.r.random() < 0.3:
        parts[on.r.randrange(len(parts))] = -1
    return parts


def flat_lengths(on: On) -> list[int]:
    """The same, with every length known."""
    total = 1
    for n in on.shape:
        total *= n or 1
    return factors(total, on)


def inner(on: On) -> Any:
    """Any layer for what a wrapper gives it; `chain` is a model of several."""
    return {"inside": on.shape[1:]}


def whole_model(on: On) -> Any:
    """A nested model for the tensor itself."""
    return {"inside": on.shape}


RECURRENT = {
    "activation": activation,
    "use_bias": BOTH,
}
GATES = {**RECURRENT, "recurrent_activation": activation}
LOOP: dict[str, Choice] = {
    "return_sequences": BOTH,
    "return_state": BOTH,
    "go_backwards": BOTH,
    "stateful": BOTH,
    "unroll": BOTH,
    "call.initial_state": ("tensors", "constants"),
    "call.mask": ("tensor", "constant"),
}
CELLS: dict[str, dict[str, Choice]] = {
    "SimpleRNNCell": {"units": UNITS, **RECURRENT},
    "GRUCell": {"units": UNITS, **GATES, "reset_after": BOTH},
    "LSTMCell": {"units": UNITS, **GATES},
}


def drawn(on: On, table: Mapping[str, Choice], needs: Sequence[str] = ()) -> dict[str, Any]:
    """Options from a table: those that are needed, and any of the others."""
    found: dict[str, Any] = {}
    for name, choice in table.items():
        if name in needs or on.r.random() < 0.4:
            found[name] = value(On(on.r, on.shape, found), choice)
    return found


def value(on: On, choice: Choice) -> Any:
    """One value of an option."""
    return choice(on) if callable(choice) else on.pick(choice)


def cell(on: On) -> Any:
    def one() -> Any:
        name = on.pick(sorted(CELLS))
        return {"class": name, "options": drawn(on, CELLS[name], ("units",))}

    if on.r.random() < 0.5:
        return {"layer": one()}
    return {"layers": [one() for _ in range(on.pick((1, 2, 2, 3)))]}


def either(*names: str) -> Callable[[On], Any]:
    """A recurrent layer for Bidirectional."""

    def draw(on: On) -> Any:
        name = on.pick(names)
        table = {**CELLS[f"{name}Cell"], "return_sequences": BOTH, "stateful": (False, False, True)}
        return {"layer": {"class": name, "options": drawn(on, table, ("units",))}}

    return draw


def backward(on: On) -> Any:
    """A layer of its own that goes backwards, with outputs as those of the other half."""
    ahead = on.chosen["layer"]["layer"]["options"]
    name = on.pick(("GRU", "LSTM", "SimpleRNN"))
    options = drawn(on, CELLS[f"{name}Cell"], ("units",))
    options |= {"units": ahead["units"], "go_backwards": True}
    for key in ("return_sequences", "stateful"):
        if key in ahead:
            options[key] = ahead[key]
    return {"layer": {"class": name, "options": options}}


# ---- layers ------------------------------------------------------------------------------------


def _windows(rank: int) -> list[Kind]:
    small, ones = axes_of((1, 2, 2, 3), rank), axes_of((1, 1, 2), rank)
    end = f"{rank}D"
    at = (rank + 1,)
    shared: dict[str, Choice] = {
        "strides": ones,
        "padding": ("valid", "same"),
        "data_format": FORMATS,
        "dilation_rate": ones,
        "activation": activation,
        "use_bias": BOTH,
    }
    causal: dict[str, Choice] = {"padding": ("valid", "same", "causal")} if rank == 1 else {}
    pool: dict[str, Choice] = {
        "pool_size": small,
        "strides": ones,
        "padding": ("valid", "same"),
        "data_format": FORMATS,
    }
    sized = ("filters", "kernel_size")
    many: Choice = UNITS
    kinds = [
        Kind(
            f"Conv{end}",
            {
                "groups": divisor,
                "filters": grouped_filters,
                "kernel_size": small,
                **shared,
                **causal,
            },
            sized,
            at,
        ),
        Kind(
            f"DepthwiseConv{end}",
            {"kernel_size": small, "depth_multiplier": (1, 2, 3), **shared},
            ("kernel_size",),
            at,
        ),
        Kind(
            f"SeparableConv{end}",
            {
                "filters": many,
                "kernel_size": small,
                "depth_multiplier": (1, 2),
                **shared,
            },
            sized,
            at,
        ),
        Kind(
            f"Conv{end}Transpose",
            {
                "filters": many,
                "kernel_size": small,
                **shared,
                "output_padding": axes_of((0, 1), rank),
            },
            sized,
            at,
        ),
        Kind(f"MaxPooling{end}", pool, (), at),
        Kind(f"AveragePooling{end}", pool, ("pool_size",), at),
        Kind(
            f"ZeroPadding{end}", {"padding": pairs(rank), "data_format": FORMATS}, ("padding",), at
        ),
        Kind(
            f"Cropping{end}",
            {"cropping": pairs(rank), **({"data_format": FORMATS} if rank == 2 else {})},
            (),
            at,
        ),
        Kind(
            f"UpSampling{end}",
            {
                "size": small,
                **(
                    {"data_format": FORMATS, "interpolation": ("nearest", "bilinear")}
                    if rank == 2
                    else {}
                ),
            },
            ("size",),
            at,
        ),
        Kind(
            f"ConvLSTM{end}",
            {
                "filters": many,
                "kernel_size": small,
                **shared,
                "recurrent_activation": activation,
                **{k: v for k, v in LOOP.items() if k not in ("unroll", "call.mask")},
            },
            sized,
            (rank + 2,),
        ),
    ]
    for which in ("Max", "Average"):
        kinds += [
            Kind(
                f"Global{which}Pooling{end}",
                {"data_format": FORMATS, "keepdims": BOTH},
                (),
                at,
            ),
            Kind(
                f"Adaptive{which}Pooling{end}",
                {"output_size": axes_of((1, 2, 3), rank), "data_format": FORMATS},
                ("output_size",),
                at,
            ),
        ]
    return kinds


def _numbers_along(on: On) -> Any:
    """A number, or one for each feature."""
    if on.r.random() < 0.5:
        return on.pick(SCALES)
    return {"list": sizes_list(on, on.features)}


def _adapted(low: float) -> Callable[[On], Any]:
    def draw(on: On) -> Any:
        axis = on.chosen.get("axis", -1)
        axes = axis if isinstance(axis, list) else [] if axis is None else [axis]
        total = 1
        for a in axes:
            total *= on.shape[a if a < 0 else a - 1] or 1
        numbers = [round(on.r.uniform(low, 2), 3) for _ in range(total)]
        if total == 1 and on.r.random() < 0.5:
            return numbers[0]
        return {"list": numbers}

    return draw


def groups_of(on: On) -> int:
    axis = on.chosen.get("axis", -1)
    length = on.shape[axis if axis < 0 else axis - 1] or 1
    return int(on.pick([-1, *(n for n in range(1, length + 1) if length % n == 0)]))


ATTENTION_CALL: dict[str, Choice] = {
    "dropout": (0.1,),  # which does nothing but choose another way to compute
    "call.use_causal_mask": BOTH,
    "call.return_attention_scores": (True, True, False),
}
PROJECTED_CALL: dict[str, Choice] = {
    **ATTENTION_CALL,
    "call.key": (True,),
    "call.attention_mask": ("tensor", "constant"),
    "call.query_mask": ("tensor",),
    "call.value_mask": ("tensor",),
    "call.key_mask": ("tensor",),
}


def attended_axes(on: On) -> Any:
    axes = list(range(1, on.rank))
    return on.r.sample(axes, on.r.randint(1, len(axes)))


LAYERS: tuple[Kind, ...] = (
    Kind("SimpleRNN", {**CELLS["SimpleRNNCell"], **LOOP}, ("units",), (2,)),
    Kind("GRU", {**CELLS["GRUCell"], **LOOP}, ("units",), (2,)),
    Kind("LSTM", {**CELLS["LSTMCell"], **LOOP}, ("units",), (2,)),
    Kind("RNN", {"cell": cell, **LOOP, "zero_output_for_mask": BOTH}, ("cell",), (2,)),
    Kind(
        "Bidirectional",
        {
            "layer": either("GRU", "LSTM", "SimpleRNN"),
            "backward_layer": backward,
            "merge_mode": ("concat", "sum", "mul", "ave", None),
            "call.mask": ("tensor", "constant"),
        },
        ("layer",),
        (2,),
    ),
    Kind("Dense", {"units": UNITS, "activation": activation, "use_bias": BOTH}, ("units",)),
    Kind(
        "Embedding",
        {"input_dim": (3, 6), "output_dim": UNITS, "mask_zero": BOTH},
        ("input_dim", "output_dim"),
        (1, 2),
        "indices",
    ),
    Kind("Masking", {"mask_value": (0.0, 0.5)}, (), (2, 2, 3), "masked"),
    Kind("TimeDistributed", {"layer": inner}, ("layer",), (2, 3, 4)),
    Kind("SpectralNormalization", {"layer": inner, "power_iterations": (1, 2)}, ("layer",)),
    Kind("Activation", {"activation": activation}, ("activation",)),
    Kind("Softmax", {"axis": several_axes}),
    Kind(
        "ReLU",
        {"max_value": (0.8, 2.0), "negative_slope": (0.1, 0.7), "threshold": (0.2, 0.5)},
    ),
    Kind("LeakyReLU", {"negative_slope": (0.05, 0.6)}),
    Kind("ELU", {"alpha": (0.5, 1.7)}),
    Kind("PReLU", {"shared_axes": several_axes}),
    *(
        Kind(name, {}, (), (1, 2, 3), "two" if name == "Subtract" else "many")
        for name in ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum")
    ),
    Kind("Concatenate", {"axis": one_axis}, (), (1, 2, 3), "joined"),
    Kind("Dot", {"axes": one_axis, "normalize": BOTH}, ("axes",), (1, 2), "two"),
    Kind("Flatten", {"data_format": FORMATS}),
    Kind("RepeatVector", {"n": (1, 2, 3)}, ("n",), (1,)),
    Kind("Permute", {"dims": permutation}, ("dims",), (2, 3, 3, 4)),
    Kind("Reshape", {"target_shape": lengths}, ("target_shape",), (1, 2, 3, 4)),
    Kind(
        "EinsumDense",
        {
            "equation": equation,
            "output_shape": einsum_output,
            "bias_axes": bias_axes,
            "activation": activation,
        },
        ("equation", "output_shape"),
    ),
    Kind(
        "Discretization",
        {
            "epsilon": (0.5,),
            "bin_boundaries": lambda on: {"list": sorted(set(sizes_list(on, 3)))},
            "output_mode": ("int", "one_hot", "multi_hot", "count"),
        },
        ("bin_boundaries",),
        (1, 2),
    ),
    Kind(
        "CategoryEncoding",
        {"num_tokens": (6, 7), "output_mode": ("one_hot", "multi_hot", "count")},
        ("num_tokens",),
        (1, 2),
        "indices",
    ),
    Kind(
        "LayerNormalization",
        {"axis": several_axes, "epsilon": EPSILONS, "center": BOTH, "scale": BOTH},
    ),
    Kind("RMSNormalization", {"axis": several_axes, "epsilon": EPSILONS}),
    Kind("UnitNormalization", {"axis": several_axes}),
    Kind(
        "GroupNormalization",
        {
            "axis": one_axis,
            "groups": groups_of,
            "epsilon": EPSILONS,
            "center": BOTH,
            "scale": BOTH,
        },
        ("groups",),
        (2, 3),
    ),
    Kind(
        "BatchNormalization",
        {"axis": one_axis, "epsilon": EPSILONS, "center": BOTH, "scale": BOTH},
    ),
    Kind(
        "Normalization",
        {"axis": several_axes, "mean": _adapted(-2), "variance": _adapted(0.1), "invert": BOTH},
        ("mean", "variance"),
    ),
    Kind("Rescaling", {"scale": _numbers_along, "offset": _numbers_along}, ("scale",)),
    Kind(
        "Attention",
        {
            "use_scale": BOTH,
            "score_mode": ("dot", "concat"),
            **ATTENTION_CALL,
            "call.mask": ("tensors", "query", "value"),
        },
        (),
        (2,),
        "attended",
    ),
    Kind(
        "AdditiveAttention",
        {"use_scale": BOTH, **ATTENTION_CALL, "call.mask": ("tensors", "query", "value")},
        (),
        (2,),
        "attended",
    ),
    Kind(
        "MultiHeadAttention",
        {
            "num_heads": (1, 2),
            "key_dim": (1, 2, 3),
            "value_dim": (1, 2, 4),
            "use_bias": BOTH,
            "output_shape": (1, 3, 5),
            "attention_axes": attended_axes,
            "sliding_window": (1, 2, 3),
            "use_gate": BOTH,
            **PROJECTED_CALL,
        },
        ("num_heads", "key_dim"),
        (2, 2, 3),
        "called",
    ),
    Kind(
        "GroupQueryAttention",
        {
            "head_dim": (1, 2, 3),
            "num_query_heads": (2, 4),
            "num_key_value_heads": (1, 2),
            "use_bias": BOTH,
            "sliding_window": (1, 2, 3),
            "use_gate": BOTH,
            **PROJECTED_CALL,
        },
        ("head_dim", "num_query_heads", "num_key_value_heads"),
        (2,),
        "called",
    ),
    *_windows(1),
    *_windows(2),
    *(
        Kind(name, {"rate": (0.5,)}, ("rate",), ranks)
        for name, ranks in (
            ("Dropout", (1, 2, 3)),
            ("AlphaDropout", (1, 2, 3)),
            ("GaussianDropout", (1, 2, 3)),
            ("SpatialDropout1D", (2,)),
            ("SpatialDropout2D", (3,)),  # its data_format says which axis is dropped whole
            ("SpatialDropout3D", (4,)),
        )
    ),
    Kind("GaussianNoise", {"stddev": (0.5,)}, ("stddev",)),
    Kind("ActivityRegularization", {"l1": (0.1,)}),
    Kind("Identity"),
)

# A model inside the model, of a few layers.
NESTED = Kind("Chain", {"model": whole_model, "inputs": (1, 2), "outputs": (1, 2)}, ("model",))

# Layers of docs/layers.md that no Keras 3 writes; recorded models of older eras have them.
OLD = (
    "AtrousConvolution1D", "AtrousConvolution2D", "CuDNNGRU", "CuDNNLSTM", "Highway",
    "LocallyConnected1D", "LocallyConnected2D", "MaxoutDense", "Merge", "ParametricSoftplus",
    "SReLU", "ThresholdedReLU", "TimeDistributedDense",
)  # fmt: skip

# Options of constructors that change no number, once a model is trained.
NO_EFFECT = (
    "name", "dtype", "seed", "dropout", "recurrent_dropout", "noise_shape", "momentum",
    "renorm_momentum", "synchronized", "unit_forget_bias", "use_cudnn", "flash_attention",
    "weights", "l1", "l2", "num_bins", "sparse",
    "SpatialDropout2D.data_format", "SpatialDropout3D.data_format",
)  # fmt: skip
# Those of quantisation and LoRA, which recorded models have; `renorm` means something in training.
ELSEWHERE = (
    "lora_rank", "lora_alpha", "quantization_config", "gptq_unpacked_column_size", "renorm",
    "renorm_clipping",
)  # fmt: skip


# ---- operations --------------------------------------------------------------------------------


def _reduced(on: On) -> Any:
    """Axes to reduce, in terms of the whole tensor with its batch axis."""
    if on.rank > 1 and on.r.random() < 0.3:
        return [
            a - on.rank - 1 if on.r.random() < 0.3 else a
            for a in on.r.sample(range(1, on.rank + 1), 2)
        ]
    return on.axis()


def _listed(on: On) -> list[int]:
    """The same as a list: of one number the NumPy of Keras makes what NumPy does not take."""
    axes = _reduced(on)
    return axes if isinstance(axes, list) else [axes]


def _constant(on: On) -> Any:
    """A number, or an array that meets the last axes."""
    way = on.r.random()
    if way < 0.5:
        return on.pick((2.0, -0.5, 0.75, 3))
    if way < 0.8 or on.rank == 1:
        return {"constant": sizes_list(on, on.features)}
    known = [n or 1 for n in on.shape[-2:]]
    return {"constant": [sizes_list(on, known[1]) for _ in range(known[0])]}


def _items(on: On) -> Any:
    """An index with the batch axis left whole."""
    found: list[Any] = []
    if on.r.random() < 0.2:
        found.append({"ellipsis": True})
        found.append(on.pick([-1, 0, {"slice": [None, None, 2]}]))
        return found
    found.append({"slice": [None, None, None]})
    for n in on.shape[: on.r.randint(1, on.rank)]:
        known = n or 4
        ways = [0, -1, {"slice": [None, None, None]}, {"slice": [None, None, -1]}]
        ways += [
            {"slice": [1, None, None]},
            {"slice": [None, -1, None]},
            {"slice": [None, None, 2]},
        ]
        ways += [{"slice": [-2, None, None]}, known - 1]
        found.append(on.pick(ways))
        if on.r.random() < 0.1:
            found.append(None)
    return found


def _transposed(on: On) -> list[int]:
    return [0, *permutation(on)]


def _padding(on: On) -> Any:
    return [[0, 0], *([on.pick((0, 1, 2)), on.pick((0, 1))] for _ in on.shape)]


def _tiles(on: On) -> Any:
    return [1, *(on.pick((1, 1, 2)) for _ in on.shape)]


def _new_axis(on: On) -> int:
    return int(on.pick([*range(1, on.rank + 2), *range(-on.rank - 1, 0)]))


def _indices(on: On) -> Any:
    axis = on.chosen["axis"]
    length = on.shape[axis if axis < 0 else axis - 1] or 2
    if on.r.random() < 0.3:
        return on.r.randrange(length)
    return {
        "constant": [on.r.randrange(length) for _ in range(on.pick((1, 2, 3)))],
        "dtype": "int32",
    }


def _sections(on: On) -> Any:
    axis = on.chosen["axis"]
    length = on.shape[axis if axis < 0 else axis - 1] or 4
    if on.r.random() < 0.5:
        return on.pick([n for n in range(1, length + 1) if length % n == 0])
    return sorted(on.r.sample(range(1, length + 1), min(length, 2)))


def _subscripts(on: On) -> str:
    letters = "bcd"[: on.rank]
    ways = [f"a{letters},a{letters}->a{letters}", f"a{letters},a{letters}->a"]
    if on.rank > 1:
        ways += [f"a{letters},a{letters[:-1]}x->a{letters[-1]}x"]
        ways += [f"a{letters},a{letters[:-2]}x{letters[-1]}->a{letters[-2]}x"]
    return str(on.pick(ways))


def _op(name: str, options: Mapping[str, Choice] | None = None, **more: Any) -> Kind:
    needs = tuple(more.pop("needs", ()))
    return Kind(name, options or {}, needs, is_op=True, weight=0.3, **more)


AXIS: dict[str, Choice] = {"axis": one_axis}
REDUCED: dict[str, Choice] = {"axis": _reduced, "keepdims": BOTH}

OPS: tuple[Kind, ...] = (
    *(
        _op(name, {"other": _constant}, inputs="operands")
        for name in ("add", "subtract", "multiply", "maximum", "minimum", "logaddexp")
    ),
    *(
        _op(name, {"other": _constant}, inputs="operands", domain="positive")
        for name in ("divide", "true_divide", "power", "floor_divide", "mod")
    ),
    *(_op(name, inputs="operands", domain="truth") for name in ("logical_or", "logical_and")),
    *(
        _op(name, {"other": _constant}, inputs="operands")
        for name in ("equal", "not_equal", "greater", "greater_equal", "less", "less_equal")
    ),
    *(
        _op(name)
        for name in (
            "negative",
            "absolute",
            "abs",
            "square",
            "erf",
            "sin",
            "cos",
            "arctan",
            "arcsinh",
            "floor",
            "ceil",
            "trunc",
            "sign",
            "relu",
            "relu6",
            "sigmoid",
            "tanh",
            "softplus",
            "softsign",
            "silu",
            "log_sigmoid",
            "hard_sigmoid",
            "hard_silu",
            "hard_tanh",
            "selu",
            "tanh_shrink",
            "sparse_plus",
            "sparse_sigmoid",
            "copy",
            "stop_gradient",
            "zeros_like",
            "ones_like",
            "convert_to_tensor",
        )
    ),
    *(_op(name, domain="small") for name in ("exp", "exp2", "expm1", "sinh", "cosh")),
    *(
        _op(name, domain="positive")
        for name in ("sqrt", "log", "log2", "log10", "log1p", "reciprocal", "rsqrt")
    ),
    _op("logical_not", domain="truth"),
    _op("leaky_relu", {"negative_slope": (0.1, 0.5)}),
    _op("elu", {"alpha": (0.5, 1.5)}),
    _op("celu", {"alpha": (0.5, 1.5)}),
    _op("soft_shrink", {"threshold": (0.1, 0.8)}),
    _op("hard_shrink", {"threshold": (0.1, 0.8)}),
    _op("gelu", {"approximate": BOTH}),
    _op("softmax", {"axis": one_axis}),
    _op("log_softmax", {"axis": one_axis}),
    *(
        _op(name, REDUCED, needs=("axis",))
        for name in ("sum", "mean", "max", "min", "amax", "amin", "var", "std", "logsumexp", "prod")
    ),
    *(_op(name, REDUCED, needs=("axis",), domain="truth") for name in ("any", "all")),
    _op("count_nonzero", {"axis": _reduced}, needs=("axis",), domain="truth"),
    _op("average", {"axis": one_axis, "weights": ("tensor", "constant")}, needs=("axis",)),
    _op("concatenate", {"axis": one_axis}, needs=("axis",), inputs="listed"),
    _op("stack", {"axis": _new_axis}, needs=("axis",), inputs="listed"),
    _op("get_item", {"key": _items}, needs=("key",)),
    _op("where", {"yes": _constant, "no": _constant}, inputs="chosen"),
    _op("matmul", {"other": ("tensor", "constant")}, needs=("other",), inputs="product"),
    _op("tensordot", {"other": ("constant",)}, needs=("other",), inputs="product"),
    _op("take", {"axis": one_axis, "indices": _indices}, needs=("axis", "indices")),
    _op("expand_dims", {"axis": _new_axis}, needs=("axis",)),
    _op("squeeze", {"axis": one_axis}, needs=("axis",), inputs="thin"),
    _op("cast", {"dtype": ("int32", "bool", "float32", "float16", "uint8")}, needs=("dtype",)),
    _op("clip", {"x_min": (-0.5, -2), "x_max": (0.25, 1)}, needs=("x_min", "x_max")),
    _op("flip", AXIS, needs=("axis",)),
    _op("transpose", {"axes": _transposed}, needs=("axes",)),
    _op("swapaxes", {"axis1": one_axis, "axis2": one_axis}, needs=("axis1", "axis2")),
    _op("moveaxis", {"source": one_axis, "destination": one_axis}, needs=("source", "destination")),
    _op("reshape", {"newshape": lambda on: [-1, *flat_lengths(on)]}, needs=("newshape",)),
    _op("round", {"decimals": (0, 1)}),
    _op(
        "pad",
        {"pad_width": _padding, "constant_values": (0.5, -1), "mode": ("constant", "reflect")},
        needs=("pad_width",),
    ),
    _op("repeat", {"repeats": (1, 2, 3), "axis": one_axis}, needs=("repeats", "axis")),
    _op(
        "split",
        {"axis": one_axis, "indices_or_sections": _sections},
        needs=("axis", "indices_or_sections"),
    ),
    _op("unstack", AXIS, needs=("axis",)),
    _op("argmax", {"axis": one_axis, "keepdims": BOTH}, needs=("axis",)),
    _op("cumsum", {"axis": one_axis, "dtype": ("float32", "int32")}, needs=("axis",)),
    _op("normalize", {"axis": one_axis, "order": (1, 2), "epsilon": (1e-7, 0.5)}),
    _op("norm", {"axis": _listed, "ord": (None, 1, 2), "keepdims": BOTH}, needs=("axis",)),
    _op(
        "one_hot",
        {"num_classes": (4, 6), "axis": (-1, 1)},
        needs=("num_classes",),
        inputs="indices",
    ),
    _op("roll", {"shift": (1, 2, -1), "axis": one_axis}, needs=("shift", "axis")),
    _op("tile", {"repeats": _tiles}, needs=("repeats",)),
    _op("einsum", {"subscripts": _subscripts}, needs=("subscripts",), inputs="contracted"),
)


KINDS: dict[str, Kind] = {kind.key: kind for kind in (*LAYERS, NESTED, *OPS)}


DRAWN = object()  # stands for any value of an option whose values are drawn


def goals() -> list[tuple[str, str, Any]]:
    """Every kind, option and listed value: ("GRU", "reset_after", True); "" for no option."""
    found: list[tuple[str, str, Any]] = []
    for key, kind in KINDS.items():
        found.append((key, "", DRAWN))
        for name, choice in kind.options.items():
            values = tuple(dict.fromkeys(choice)) if isinstance(choice, tuple) else (DRAWN,)
            found += [(key, name, v) for v in values]
    return found
