"""Model files made by hand: small good ones, and from them every kind of hostile one.

`CASES` has for each a function that writes it into a folder, and what the refusal must say.
"""

from __future__ import annotations

import io
import json
import warnings
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Entry = dict[str, Any]


def gru(name: str, inputs: int, units: int, **more: Any) -> Entry:
    """The entry of a GRU as Keras 2.1.5 writes it; `_arrays` are its weights."""
    rng = np.random.default_rng(units)
    shapes = ((inputs, 3 * units), (units, 3 * units), (3 * units,))
    config = {
        "name": name,
        "batch_input_shape": [None, None, inputs],
        "units": units,
        "activation": "tanh",
        "recurrent_activation": "hard_sigmoid",
        "use_bias": True,
        "return_sequences": True,
        "return_state": False,
        "go_backwards": False,
        "stateful": True,
        "unroll": False,
        "reset_after": False,
        **more,
    }
    arrays = [rng.normal(0, 0.4, shape).astype(np.float32) for shape in shapes]
    return {"class_name": "GRU", "config": config, "_arrays": arrays}


def dense(name: str, inputs: int, units: int, **more: Any) -> Entry:
    """The entry of a Dense, with its weights under `_arrays`."""
    rng = np.random.default_rng(units)
    config = {
        "name": name,
        "batch_input_shape": [None, None, inputs],
        "units": units,
        "activation": "linear",
        "use_bias": True,
        **more,
    }
    arrays = [rng.normal(0, 0.4, shape).astype(np.float32) for shape in ((inputs, units), (units,))]
    return {"class_name": "Dense", "config": config, "_arrays": arrays}


class Sequential:
    """A Sequential model as Keras 2.1.5 writes it, of any entries whatever."""

    def __init__(self, layers: Sequence[Entry], version: str = "2.1.5") -> None:
        self.layers = layers
        self.version = version

    def config(self) -> Any:
        """The configuration without the weights."""
        plain = [{k: v for k, v in e.items() if k != "_arrays"} for e in self.layers]
        return {"class_name": "Sequential", "config": plain}

    def save(self, path: Path, config: str | bytes | None = None) -> Path:
        """Write a whole-model HDF5 file, its configuration replaced where one is given."""
        with h5py.File(path, "w") as file:
            file.attrs["model_config"] = json.dumps(self.config()) if config is None else config
            if self.version:
                file.attrs["keras_version"] = self.version
            file.attrs["backend"] = "tensorflow"
            self.write_weights(file.create_group("model_weights"))
        return path

    def write_weights(self, group: h5py.Group) -> None:
        """The weights as a flat file has them. Groups have names of their own: order decides."""
        names = []
        for number, entry in enumerate(self.layers):
            names.append(f"layer_{number}")
            inner = group.create_group(names[-1])
            arrays = entry.get("_arrays", [])
            for k, array in enumerate(arrays):
                inner.create_dataset(f"w{k}", data=array)
            inner.attrs["weight_names"] = np.array([f"w{k}".encode() for k in range(len(arrays))])
        group.attrs["layer_names"] = np.array([name.encode() for name in names])


def small() -> Sequential:
    """A GRU and a Dense."""
    return Sequential([gru("g", 2, 3), dense("d", 3, 2)])


Make = Callable[[Path], Path]


# ---- HDF5 ---------------------------------------------------------------------------------


def edited(change: Callable[[h5py.File], object]) -> Make:
    """A good file, changed."""

    def make(folder: Path) -> Path:
        path = small().save(folder / "m.h5")
        with h5py.File(path, "r+") as file:
            change(file)
        return path

    return make


def replaced(put: Callable[[h5py.Group, str], object]) -> Make:
    """A good file whose first kernel is written in another way."""

    def change(file: h5py.File) -> None:
        group = file["model_weights/layer_0"]
        del group["w0"]
        put(group, "w0")

    return edited(change)


def _linked(link: object) -> Make:
    def put(group: h5py.Group, name: str) -> None:
        group[name] = link

    return replaced(put)


def _external(folder: Path) -> Path:
    """The kernel lies in another file, a secret one."""
    secret = folder / "secret.bin"
    secret.write_bytes(bytes(range(72)))

    def put(group: h5py.Group, name: str) -> None:
        group.create_dataset(name, (2, 9), "f4", external=[(str(secret), 0, 72)])

    return replaced(put)(folder)


def _virtual(group: h5py.Group, name: str) -> None:
    layout = h5py.VirtualLayout((2, 9), "f4")
    layout[:] = h5py.VirtualSource("secret.h5", "x", (2, 9))
    group.create_virtual_dataset(name, layout)


def _filtered(group: h5py.Group, name: str) -> None:
    group.create_dataset(name, data=np.zeros((2, 9), "f4"), chunks=(2, 9), compression="lzf")


def _plugin(group: h5py.Group, name: str) -> None:
    """A dataset that asks for a filter to be loaded from a library."""
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_chunk((2, 9))
    plist.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, ())
    space = h5py.h5s.create_simple((2, 9))
    h5py.h5d.create(group.id, name.encode(), h5py.h5t.IEEE_F32LE, space, plist)


def _declared(group: h5py.Group, name: str) -> None:
    group.create_dataset(name, (2**20, 2**20), "f4", chunks=(1, 1024))


def _bomb(group: h5py.Group, name: str) -> None:
    zeros = np.zeros((4096, 4096), "f4")
    group.create_dataset(name, data=zeros, chunks=(4096, 4096), compression=9)


def _sparse(group: h5py.Group, name: str) -> None:
    group.create_dataset(name, (4096, 4096), "f4", chunks=(64, 64))


def _cycle(file: h5py.File) -> None:
    file["model_weights/layer_0/again"] = file["model_weights"]
    file["model_weights/layer_0"].attrs["weight_names"] = np.array([b"again/layer_0/" * 200])


def _weights_cycle(folder: Path) -> Path:
    """Weights alone, in groups that hold each other."""
    path = folder / "m.weights.h5"
    with h5py.File(path, "w") as file:
        inner = file.create_group("layers/dense/vars")
        inner["0"] = np.zeros((2, 2), "f4")
        inner["loop"] = file["layers"]
    return path


def _deep(folder: Path) -> Path:
    path = folder / "m.weights.h5"
    with h5py.File(path, "w") as file:
        group = file
        for _ in range(300):
            group = group.create_group("g")
        group["x"] = np.zeros(1, "f4")
    return path


def _many_names(file: h5py.File) -> None:
    group = file["model_weights"]
    del group.attrs["layer_names"]
    group.attrs.create("layer_names", data=np.full(70_000, b"x", "S1"), dtype="S1")


def _dense_attributes(folder: Path) -> Path:
    """Newer files may hold attributes of any size."""
    path = folder / "m.h5"
    with h5py.File(path, "w", libver="latest") as file:
        file.attrs["model_config"] = json.dumps(small().config())
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = np.full(70_000, b"x", "S1")
    return path


def _typed(data: Any, dtype: Any = None) -> Make:
    def put(group: h5py.Group, name: str) -> None:
        group.create_dataset(name, data=data, dtype=dtype)

    return replaced(put)


def _attribute(key: str, value: Any, where: str = "model_weights/layer_0") -> Make:
    def change(file: h5py.File) -> None:
        file[where].attrs[key] = value

    return edited(change)


def _cut(part: float) -> Make:
    def make(folder: Path) -> Path:
        path = small().save(folder / "m.h5")
        data = path.read_bytes()
        path.write_bytes(data[: int(part * len(data))])
        return path

    return make


_PAIR = np.dtype([("a", "f4"), ("b", "f4")])
HDF5: dict[str, tuple[Make, str]] = {
    "soft link": (
        _linked(h5py.SoftLink("/model_weights/layer_1/w0")),
        "'/model_weights/layer_0/w0' is a soft link",
    ),
    "external link": (
        _linked(h5py.ExternalLink("secret.h5", "x")),
        "'/model_weights/layer_0/w0' is an external link",
    ),
    "external storage": (_external, "'/model_weights/layer_0/w0' is stored in another file"),
    "virtual dataset": (replaced(_virtual), "'/model_weights/layer_0/w0' is virtual"),
    "unusual filter": (
        replaced(_filtered),
        "'/model_weights/layer_0/w0' is compressed with a filter",
    ),
    "plug-in filter": (
        replaced(_plugin),
        "'/model_weights/layer_0/w0' is compressed with a filter",
    ),
    "declared size": (
        replaced(_declared),
        "/layer_0/w0' brings the weights to .*, more than 268,435,456 bytes; .*--max-bytes",
    ),
    "compression bomb": (replaced(_bomb), "declares 67108864 bytes, but nearly none are stored"),
    "nothing stored": (replaced(_sparse), "declares 67108864 bytes, but nearly none are stored"),
    "cycle": (edited(_cycle), "nested too deeply"),
    "cycle of weights": (_weights_cycle, "too many or too deeply nested groups"),
    "deep groups": (_deep, "nested"),
    "huge attribute": (_dense_attributes, "'layer_names' of '/model_weights' has 70000 items"),
    "strings as weights": (_typed([b"abc"]), "of type .*, which is not a weight"),
    "objects as weights": (_typed(["a"], h5py.string_dtype()), "of type .*, which is not a weight"),
    "pairs as weights": (_typed(np.zeros(3, _PAIR)), "of type .*, which is not a weight"),
    "complex weights": (_typed(np.zeros(3, "c8")), "of type complex64, which is not a weight"),
    "references": (
        _typed(np.array([h5py.Reference()], dtype=h5py.ref_dtype), h5py.ref_dtype),
        "of type .*, which is not a weight",
    ),
    "empty dataset": (_typed(h5py.Empty("f4")), "'/model_weights/layer_0/w0' is empty"),
    "integers as weights": (_typed(np.zeros((2, 9), "i4")), "'kernel' holds int32 numbers"),
    "no such weight": (_attribute("weight_names", [b"x", b"y", b"z"]), "'x' .*but not in the file"),
    "weight outside": (_attribute("weight_names", [b"../x"] * 3), "'../x' .*but not in the file"),
    "names are numbers": (_attribute("weight_names", [1.0, 2.0]), "is not a list of strings"),
    "no such layer": (_attribute("layer_names", [b"gone"], "model_weights"), "'gone' is listed"),
    "configuration is a list": (_attribute("model_config", ["{}", "{}"], "/"), "has 2 items"),
    "configuration is a number": (_attribute("model_config", 5, "/"), "is not a string"),
    "cut at a tenth": (_cut(0.1), "m.h5"),
    "cut in the middle": (_cut(0.5), "damaged"),
    "cut near the end": (_cut(0.99), "damaged"),
}

# ---- zip ----------------------------------------------------------------------------------

DENSE3 = {
    "module": "keras",
    "class_name": "Sequential",
    "config": {
        "name": "sequential",
        "layers": [
            {
                "module": "keras.layers",
                "class_name": "InputLayer",
                "config": {"batch_shape": [None, 2], "dtype": "float32", "name": "i"},
            },
            {
                "module": "keras.layers",
                "class_name": "Dense",
                "config": {"name": "d", "units": 3, "activation": "linear", "use_bias": True},
            },
        ],
    },
}


def keras3_weights() -> bytes:
    """The member model.weights.h5 of a Dense."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        group = file.create_group("layers/dense/vars")
        group["0"] = np.arange(6, dtype="f4").reshape(2, 3) / 8
        group["1"] = np.arange(3, dtype="f4") / 4
    return buffer.getvalue()


def zipped(*members: tuple[str, bytes], kind: int = zipfile.ZIP_STORED) -> Make:
    """An archive with these members, a good one if there are none; two of one name are allowed."""

    def make(folder: Path) -> Path:
        path = folder / "m.keras"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            with zipfile.ZipFile(path, "w", kind) as archive:
                for name, data in members or good_members():
                    archive.writestr(zipfile.ZipInfo(name), data, kind)  # of no date
        return path

    return make


def good_members() -> tuple[tuple[str, bytes], ...]:
    """What `model.save` of Keras 3 puts into the archive."""
    return (
        ("metadata.json", b'{"keras_version": "3.5.0"}'),
        ("config.json", json.dumps(DENSE3).encode()),
        ("model.weights.h5", keras3_weights()),
    )


def _patched(change: Callable[[bytearray], object]) -> Make:
    """A good archive with its bytes changed."""

    def make(folder: Path) -> Path:
        path = zipped()(folder)
        data = bytearray(path.read_bytes())
        change(data)
        path.write_bytes(data)
        return path

    return make


def _encrypted(data: bytearray) -> None:
    """Set the flag in every local and central header."""
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.find(mark)
        while at >= 0:
            data[at + offset] |= 1
            at = data.find(mark, at + 4)


def _oversized(data: bytearray) -> None:
    """The central directory declares four gigabytes for every member."""
    at = data.find(b"PK\x01\x02")
    while at >= 0:
        data[at + 24 : at + 28] = (0xFFFFFFF0).to_bytes(4, "little")
        at = data.find(b"PK\x01\x02", at + 4)


def _truncate_zip(data: bytearray) -> None:
    del data[len(data) // 2 :]


_GOOD = dict(good_members())
_W = ("model.weights.h5", _GOOD["model.weights.h5"])
_C = ("config.json", _GOOD["config.json"])
ZIP: dict[str, tuple[Make, str]] = {
    "two configurations": (zipped(_C, _C, _W), "config.json twice"),
    "two weights": (zipped(_C, _W, _W), "model.weights.h5 twice"),
    "no configuration": (zipped(_W), "without config.json"),
    "no weights": (zipped(_C), "expected the member model.weights.h5, found no weights"),
    "names that climb": (
        zipped(("../config.json", _C[1]), ("/model.weights.h5", _W[1])),
        "without config.json",
    ),
    "encrypted": (_patched(_encrypted), "is encrypted"),
    "declared too large": (_patched(_oversized), "more than the limit"),
    "ratio": (
        zipped(_C, (_W[0], bytes(40_000_000)), kind=zipfile.ZIP_DEFLATED),
        "compressed more than 1000-fold",
    ),
    "unusual method": (
        zipped(_C, _W, kind=zipfile.ZIP_BZIP2),
        "uses a compression method that is not supported",
    ),
    "cut": (_patched(_truncate_zip), "damaged zip archive"),
    "weights are no HDF5": (zipped(_C, (_W[0], b"PK" * 99)), "model.weights.h5: damaged or not"),
    "weights are a link": (zipped(_C, (_W[0], b"../../etc/passwd")), "damaged or not"),
    "configuration is pickle": (zipped(("config.json", b"\x80\x04K\x01."), _W), "config.json"),
    "a SavedModel": (zipped(("m/saved_model.pb", b"")), "a zipped SavedModel; save the model"),
    "a NumPy archive": (zipped(("x.npy", b"")), "weights without their layers"),
    "many members": (zipped(*((f"{n}", b"") for n in range(10_001))), "has 10001 members"),
}

# ---- other things -------------------------------------------------------------------------


def _written(name: str, data: bytes) -> Make:
    def make(folder: Path) -> Path:
        (folder / name).write_bytes(data)
        return folder / name

    return make


def _saved_model(folder: Path) -> Path:
    path = folder / "saved"
    path.mkdir()
    (path / "saved_model.pb").write_bytes(b"\x08\x01")
    return path


OTHER: dict[str, tuple[Make, str]] = {
    "empty": (_written("m.h5", b""), "the file is empty"),
    "pickle": (_written("m.h5", b"\x80\x04cos\nsystem\n."), "a pickle, which is never loaded"),
    "YAML": (_written("m.h5", b"class_name: Sequential\nconfig: []\n"), "a YAML configuration"),
    "unsafe YAML": (_written("m.h5", b"!!python/object:os.system ['x']"), "a YAML configuration"),
    "SavedModel": (_saved_model, "saved: a SavedModel.*save .*as .h5 or .keras"),
    "web page": (_written("m.h5", b"<!doctype html>"), "a web page"),
    "LFS pointer": (_written("m.h5", b"version https://git-lfs.github.com/"), "git lfs pull"),
    "TFLite": (_written("m.h5", b"\x1c\0\0\0TFL3...."), "a TensorFlow Lite model"),
    "noise": (_written("m.keras", bytes(range(200))), "neither HDF5 nor a zip archive"),
    "configuration alone": (_written("m.h5", _C[1]), "a configuration without weights"),
}

# ---- configurations -------------------------------------------------------------------------


def configured(config: str | bytes) -> Make:
    """A file with the weights of `small` and any text as configuration."""
    return lambda folder: small().save(folder / "m.h5", config)


def _changed(*path: Any, to: Any) -> Make:
    """The good configuration with the value at `path` replaced."""
    config = small().config()
    place = config
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = to
    return configured(json.dumps(config))


def functional(nodes: dict[str, Any], inputs: Any, outputs: Any) -> Make:
    """Dense layers of two units between the named nodes, in the words of Keras 2.1."""
    layers: list[Any] = [
        {
            "class_name": "InputLayer",
            "name": "i",
            "inbound_nodes": [],
            "config": {"name": "i", "batch_input_shape": [None, 2]},
        }
    ]
    for name, calls in nodes.items():
        entry = dense(name, 2, 2)
        layers.append({**entry, "name": name, "inbound_nodes": calls})
    plain = [{k: v for k, v in entry.items() if k != "_arrays"} for entry in layers]
    model = {"name": "f", "layers": plain, "input_layers": inputs, "output_layers": outputs}

    def make(folder: Path) -> Path:
        found = Sequential(layers)
        return found.save(folder / "m.h5", json.dumps({"class_name": "Model", "config": model}))

    return make


_I = [["i", 0, 0]]


def _to(name: str, node: Any = 0, index: Any = 0) -> list[Any]:
    return [[[name, node, index, {}]]]


CONFIG: dict[str, tuple[Make, str]] = {
    "deep": (configured("[" * 100_000 + "]" * 100_000), "nested too deeply"),
    "deep below": (configured('{"config":' * 400 + "1" + "}" * 400), "nested too deeply"),
    "not JSON": (configured("{'class_name': 1}"), "not valid JSON"),
    "Python": (configured("__import__('os').system('x')"), "not valid JSON"),
    "no object": (configured("[1, 2]"), "not a JSON object"),
    "a text": (configured('"{}"'), "is a string, expected a JSON object"),
    "not UTF-8": (configured(np.bytes_(b"\xff\xfe{")), "not valid JSON"),
    "no class": (configured("{}"), "class"),
    "no layers": (configured('{"class_name": "Sequential", "config": []}'), "has no layers"),
    "another class": (configured('{"class_name": "GRU", "config": {}}'), "m.h5"),
    "layers are numbers": (_changed("config", to=[1, 2]), "layers is .*, expected a list"),
    "layers are text": (_changed("config", to="layers"), 'is "layers", expected'),
    "own code": (_changed("config", 0, "module", to="os.path"), "is a custom class"),
    "registered": (_changed("config", 0, "class_name", to="evil>GRU"), "is a custom class"),
    "unknown class": (_changed("config", 0, "class_name", to="Wobble"), "of this class"),
    "class is a list": (_changed("config", 0, "class_name", to=["GRU"]), "of this class"),
    "class is __lambda__": (_changed("config", 0, "class_name", to="__lambda__"), "Python code"),
    "Lambda": (_changed("config", 0, "class_name", to="Lambda"), "Python code, which is never run"),
    "activation is code": (
        _changed(
            "config", 0, "config", "activation", to={"class_name": "__lambda__", "config": {}}
        ),
        "activation is a layer of class",
    ),
    "activation is a module": (
        _changed("config", 0, "config", "activation", to="os.system"),
        'activation "os.system" is not an activation',
    ),
    "graph cycle": (
        functional({"a": _to("b"), "b": _to("a")}, _I, [["b", 0, 0]]),
        "layer 'a' depends on itself",
    ),
    "own input": (functional({"a": _to("a")}, _I, [["a", 0, 0]]), "layer 'a' depends on itself"),
    "absent layer": (functional({"a": _to("gone")}, _I, [["a", 0, 0]]), "'gone'"),
    "absent output": (functional({"a": _to("i")}, _I, [["gone", 0, 0]]), "'gone'"),
    "absent input": (functional({"a": _to("i")}, [["gone", 0, 0]], [["a", 0, 0]]), "'gone'"),
    "input is a layer": (functional({"a": _to("i")}, [["a", 0, 0]], [["a", 0, 0]]), "InputLayer"),
    "node out of range": (functional({"a": _to("i", 7)}, _I, [["a", 0, 0]]), "'i'"),
    "output out of range": (functional({"a": _to("i")}, _I, [["a", 0, 9]]), "'a'.*outputs?"),
    "tensor out of range": (functional({"a": _to("i", 0, 3)}, _I, [["a", 0, 0]]), "'i'"),
    "node is a text": (functional({"a": _to("i", "0")}, _I, [["a", 0, 0]]), "not a reference"),
    "node is negative": (functional({"a": _to("i", -1)}, _I, [["a", 0, 0]]), "not supported"),
    "node is huge": (functional({"a": _to("i", 2**70)}, _I, [["a", 0, 0]]), "'i'"),
    "nodes are a number": (functional({"a": 5}, _I, [["a", 0, 0]]), "is not a list"),
    "no outputs": (functional({"a": _to("i")}, _I, []), "no outputs"),
    "outputs are a number": (functional({"a": _to("i")}, _I, 3), "does not name inputs or outputs"),
}

CASES = {
    f"{group}: {name}": case
    for group, cases in (("HDF5", HDF5), ("zip", ZIP), ("other", OTHER), ("config", CONFIG))
    for name, case in cases.items()
}
