"""An interpreter of the pickle opcodes with which PyTorch writes state dicts.

Nothing is imported or called. A global is a name; the few names of `_CALLS` have a meaning here,
those of `_ASIDE` stand for values of a checkpoint that no tensor needs, and every other one is
refused by its name. Opcodes: the module `pickletools` of Python; what torch writes:
`torch/_utils.py` and `torch/serialization.py`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

from codegen.errors import ReadError

MAX_BYTES = 16 * 2**20  # of one pickle: a tensor takes about 150
MAX_OPCODES = 4_000_000
MAX_NAMES = 10  # unknown globals listed in a refusal
MAX_RANK = 16


@dataclass(frozen=True)
class Global:
    """A name that the pickle would have imported."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(frozen=True)
class Storage:
    """Where numbers lie: `count` elements of type `dtype` under `key`."""

    key: str
    dtype: str
    count: int
    start: int = 0  # elements of the stored block that come before


@dataclass(frozen=True, eq=False)
class TensorRef:
    """A view of a storage; offset and strides count elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True)
class Opaque:
    """A value of which only the name of its class is known."""

    what: str

    @property
    def is_tensor(self) -> bool:
        """Whether it is a tensor of a kind that is not a weight."""
        return self.what.startswith("torch._utils.")


_MARK = object()

_STORAGES = {
    "FloatStorage": "float32",
    "DoubleStorage": "float64",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}
_OTHER_STORAGES = (
    "ComplexFloatStorage", "ComplexDoubleStorage", "QInt8Storage", "QInt32Storage",
    "QUInt8Storage", "QUInt4x2Storage", "QUInt2x4Storage",
)  # fmt: skip

# Values of a checkpoint beside the tensors, by module. None is made: each is a name, and its state
# is not kept. Numbers and arrays of NumPy, what torch itself loads with weights_only=True, settings
# of a training, and the containers in which frameworks keep those.
_ASIDE: dict[str, tuple[str, ...]] = {
    "torch": (
        "device", "Generator", "per_tensor_affine", "per_channel_affine", "float32", "float64",
        "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool", "complex64",
        "complex128", "strided", "sparse_coo", *_OTHER_STORAGES,
    ),
    "torch.serialization": ("_get_layout",),
    "torch._utils": ("_rebuild_qtensor", "_rebuild_sparse_tensor"),
    **dict.fromkeys(
        ("numpy.core.multiarray", "numpy._core.multiarray"), ("scalar", "_reconstruct")
    ),
    "numpy": ("dtype", "ndarray"),
    "_codecs": ("encode",),
    "collections": ("Counter", "deque"),
    **dict.fromkeys(
        ("builtins", "__builtin__"),
        ("complex", "bytearray", "frozenset", "object", "int", "float", "str", "bool", "tuple",
         "slice", "range"),
    ),
    "argparse": ("Namespace",),
    "types": ("SimpleNamespace",),
    **dict.fromkeys(
        ("pathlib", "pathlib._local"),
        ("Path", "PosixPath", "WindowsPath", "PurePath", "PurePosixPath", "PureWindowsPath"),
    ),
    "datetime": ("date", "datetime", "time", "timedelta", "timezone"),
    "decimal": ("Decimal",),
    "fractions": ("Fraction",),
    "uuid": ("UUID",),
    "typing": ("Any",),
    "omegaconf.base": ("ContainerMetadata", "Metadata"),
    "omegaconf.dictconfig": ("DictConfig",),
    "omegaconf.listconfig": ("ListConfig",),
    "omegaconf.nodes": (
        "AnyNode", "BooleanNode", "BytesNode", "EnumNode", "FloatNode", "IntegerNode", "PathNode",
        "StringNode",
    ),
    **dict.fromkeys(
        ("pytorch_lightning.utilities.parsing", "lightning.pytorch.utilities.parsing",
         "lightning_fabric.utilities.data", "lightning.fabric.utilities.data"),
        ("AttributeDict",),
    ),
}  # fmt: skip
_HARMLESS = {(module, name) for module, names in _ASIDE.items() for name in names}


class Interpreter:
    """Reads one pickle from a stream. `unknown` collects the globals that are refused."""

    def __init__(self, stream: BinaryIO, label: str) -> None:
        self._stream = stream
        self._label = label
        self._left = MAX_BYTES
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        self._unknown: dict[str, None] = {}
        self._actions: dict[bytes, Callable[[], None]] = {
            b"\x80": self._protocol,
            b"\x95": lambda: self._skip(8),  # FRAME: how far to read ahead
            b"0": lambda: self._drop(1),
            b"1": self._drop_to_mark,
            b"2": lambda: self._stack.append(self._stack[-1]),
            b"\x8a": self._long,
            b"t": lambda: self._stack.append(tuple(self._to_mark())),
            b"\x85": lambda: self._tuple(1),
            b"\x86": lambda: self._tuple(2),
            b"\x87": lambda: self._tuple(3),
            b"a": lambda: self._append([self._pop()]),
            b"e": lambda: self._append(self._to_mark()),
            b"s": lambda: self._set([self._pop(), self._pop()][::-1]),
            b"u": lambda: self._set(self._to_mark()),
            b"\x90": self._drop_to_mark,  # ADDITEMS: into a set, which is opaque
            b"\x91": self._frozen_set,
            b"c": lambda: self._global(self._line(), self._line()),
            b"\x93": self._stack_global,
            b"R": self._reduce,
            b"\x81": self._reduce,  # NEWOBJ
            b"b": self._build,
            b"Q": self._persistent,
            b"q": lambda: self._put(self._number("<B")),
            b"r": lambda: self._put(self._number("<I")),
            b"\x94": lambda: self._put(len(self._memo)),
            b"h": lambda: self._stack.append(self._memo[self._number("<B")]),
            b"j": lambda: self._stack.append(self._memo[self._number("<I")]),
        }

    def load(self) -> Any:
        """The value: dicts, lists, tuples, texts, numbers, `TensorRef`s and `Opaque`s."""
        try:
            value = self._run()
        except (IndexError, KeyError, TypeError, ValueError, OverflowError, struct.error):
            raise ReadError(f"{self._label}: damaged pickle") from None
        if self._unknown:
            raise ReadError(self._refusal())
        return value

    def _refusal(self) -> str:
        names = list(self._unknown)
        shown = ", ".join(names[:MAX_NAMES])
        shown += f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
        what = "a whole module" if any(n.startswith("torch.nn.") for n in names) else "objects"
        return (
            f"{self._label}: its pickle holds {what} of other code, which is never run: {shown}; "
            "save the weights alone: torch.save(model.state_dict(), ...)"
        )

    # ---- bytes ----------------------------------------------------------------------------

    def _bytes(self, count: int) -> bytes:
        self._left -= count
        if self._left < 0:
            raise ReadError(f"{self._label}: its pickle is longer than {MAX_BYTES >> 20} MiB")
        data = self._stream.read(count)
        if len(data) != count:
            raise ReadError(f"{self._label}: its pickle ends too early")
        return data

    def _number(self, form: str) -> Any:
        (value,) = struct.unpack(form, self._bytes(struct.calcsize(form)))
        return value

    def _line(self) -> str:
        data = self._stream.readline(1000)
        self._left -= len(data)
        if not data.endswith(b"\n"):
            raise ReadError(f"{self._label}: damaged pickle")
        return data[:-1].decode("utf-8", "replace")

    # ---- opcodes --------------------------------------------------------------------------

    def _run(self) -> Any:
        push = self._stack.append
        for _ in range(MAX_OPCODES):
            code = self._bytes(1)
            if code == b".":
                return self._pop()
            if code in _CONSTANTS:
                push(_CONSTANTS[code]())
            elif code in _NUMBERS:
                push(self._number(_NUMBERS[code]))
            elif code in _TEXTS:
                form, encoding = _TEXTS[code]
                data = self._bytes(self._number(form))
                push(data.decode(encoding, "replace") if encoding else data)
            elif code in self._actions:
                self._actions[code]()
            else:
                raise ReadError(
                    f"{self._label}: its pickle has the opcode {code!r}, which torch does not use"
                )
        raise ReadError(f"{self._label}: its pickle has more than {MAX_OPCODES:,} opcodes")

    def _protocol(self) -> None:
        if self._number("<B") > 5:
            raise ValueError

    def _skip(self, count: int) -> None:
        self._bytes(count)

    def _long(self) -> None:
        digits = self._bytes(self._number("<B"))
        self._stack.append(int.from_bytes(digits, "little", signed=True))

    def _drop(self, count: int) -> None:
        del self._stack[-count:]

    def _drop_to_mark(self) -> None:
        self._to_mark()

    def _frozen_set(self) -> None:
        self._to_mark()
        self._stack.append(Opaque("frozenset"))

    def _pop(self) -> Any:
        value = self._stack.pop()
        if value is _MARK:
            raise ValueError
        return value

    def _to_mark(self) -> list[Any]:
        place = len(self._stack) - 1
        while self._stack[place] is not _MARK:
            place -= 1
            if place < 0:
                raise ValueError
        items = self._stack[place + 1 :]
        del self._stack[place:]
        return items

    def _top(self, kind: type) -> Any:
        """The container on top; None where it is opaque, and what it is given is not kept."""
        value = self._stack[-1]
        if isinstance(value, Opaque):
            return None
        if not isinstance(value, kind):
            raise TypeError
        return value

    def _tuple(self, count: int) -> None:
        items = tuple(self._pop() for _ in range(count))
        self._stack.append(items[::-1])

    def _append(self, items: Sequence[Any]) -> None:
        target = self._top(list)
        if target is not None:
            target.extend(items)

    def _set(self, items: Sequence[Any]) -> None:
        target = self._top(dict)
        if len(items) % 2:
            raise ValueError
        if target is not None:
            for key, value in zip(items[::2], items[1::2], strict=True):
                if not isinstance(key, (str, int, float, bool, bytes, Global, type(None))):
                    key = Opaque("key")  # noqa: PLW2901  # no key of a tensor
                target[key] = value

    def _put(self, place: int) -> None:
        if self._stack[-1] is _MARK or place > MAX_OPCODES:
            raise ValueError
        self._memo[place] = self._stack[-1]

    def _global(self, module: str, name: str) -> None:
        found = Global(module, name)
        key = (module, name)
        known = key in _CALLS or key in _HARMLESS
        known = known or (module == "torch" and name in _STORAGES)
        if not known:
            self._unknown[str(found)] = None
        self._stack.append(found)

    def _stack_global(self) -> None:
        name, module = self._pop(), self._pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise TypeError
        self._global(module, name)

    def _reduce(self) -> None:
        arguments, function = self._pop(), self._pop()
        if not isinstance(arguments, tuple):
            raise TypeError
        if isinstance(function, Global):
            call = _CALLS.get((function.module, function.name))
            self._stack.append(Opaque(str(function)) if call is None else call(*arguments))
        elif isinstance(function, Opaque):
            self._stack.append(function)
        else:
            raise TypeError

    def _build(self) -> None:
        """State of an object: `_metadata` of a state dict, and what an opaque one is made of."""
        self._pop()
        if not isinstance(self._stack[-1], (dict, Opaque, TensorRef)):
            raise TypeError

    def _persistent(self) -> None:
        found = self._pop()
        if not isinstance(found, tuple) or len(found) not in (5, 6) or found[0] != "storage":
            raise ValueError
        kind, key, _, count = found[1:5]
        if not isinstance(kind, Global) or kind.module != "torch" or not isinstance(key, str):
            raise ValueError
        dtype = _STORAGES.get(kind.name, kind.name)
        start = 0
        if len(found) == 6 and found[5] is not None:  # very old: a part of another storage
            _, start, count = found[5]
        self._stack.append(Storage(key, dtype, _length(count), _length(start)))


def _length(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**48:
        raise ValueError
    return value


def _lengths(values: object) -> tuple[int, ...]:
    if not isinstance(values, (tuple, list)) or len(values) > MAX_RANK:
        raise TypeError
    return tuple(_length(value) for value in values)


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> TensorRef:
    """`_rebuild_tensor` and `_rebuild_tensor_v2`; what follows concerns gradients."""
    if not isinstance(storage, Storage):
        raise TypeError
    shape, strides, first = _lengths(size), _lengths(stride), _length(offset)
    if len(shape) != len(strides):
        raise ValueError
    last = first + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    if 0 not in shape and last >= storage.count:
        raise ValueError
    return TensorRef(storage, first, shape, strides)


def _parameter(data: Any, *_: Any) -> Any:
    return data


def _ordered(pairs: Any = ()) -> dict[Any, Any]:
    if not isinstance(pairs, (list, tuple)):
        raise TypeError
    return {key: value for key, value in pairs if isinstance(key, (str, int))}


_CALLS: dict[tuple[str, str], Callable[..., Any]] = {
    ("collections", "OrderedDict"): _ordered,
    ("collections", "defaultdict"): lambda *_: {},
    ("torch._utils", "_rebuild_tensor"): _tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch._utils", "_rebuild_parameter_with_state"): _parameter,
    ("torch", "Size"): lambda size: size,
    ("builtins", "set"): lambda *_: Opaque("set"),
    ("__builtin__", "set"): lambda *_: Opaque("set"),
    ("__builtin__", "dict"): lambda *_: {},
    ("builtins", "dict"): lambda *_: {},
    ("__builtin__", "list"): lambda *_: [],
    ("builtins", "list"): lambda *_: [],
    ("__builtin__", "long"): lambda *_: Opaque("long"),
}

_CONSTANTS: dict[bytes, Callable[[], Any]] = {
    b"N": lambda: None,
    b"\x88": lambda: True,
    b"\x89": lambda: False,
    b")": tuple,
    b"]": list,
    b"}": dict,
    b"(": lambda: _MARK,
    b"\x8f": lambda: Opaque("set"),
}
_NUMBERS = {b"K": "<B", b"M": "<H", b"J": "<i", b"G": ">d"}
_TEXTS: dict[bytes, tuple[str, str | None]] = {
    b"X": ("<I", "utf-8"),
    b"\x8c": ("<B", "utf-8"),
    b"U": ("<B", "latin-1"),  # texts of Python 2
    b"T": ("<I", "latin-1"),
    b"C": ("<B", None),
    b"B": ("<I", None),
}
