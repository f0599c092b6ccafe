"""From a file of Keras to a `Model`: every release since 1.0, every container.

config.py           the configuration text, bounded, with checked getters
era.py              which Keras wrote it, and what that changes
table.py            the table of classes; configuration -> tree of items (items.py)
weights.py          which array is which variable of which item
layers/             one file for each family: item and arrays -> canonical layer
nodes.py flatten.py calls as every era writes them; nested models -> one flat list of calls
masks.py graph.py   how far masks go; calls and built layers -> one graph
ops.py tf_ops.py    operations that stand in graphs as nodes of their own
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from codegen.errors import LayerError, ReadError, UnsupportedError
from codegen.model import Graph, Input, Model
from codegen.readers import formats, sniff
from codegen.readers.files import hdf5
from codegen.readers.files.hdf5 import Group
from codegen.readers.files.limits import Budget, Digest
from codegen.readers.keras import era, weights
from codegen.readers.keras.era import Era
from codegen.readers.keras.flatten import Flattener
from codegen.readers.keras.graph import LayerBuilder, batch_first, finish
from codegen.readers.keras.items import Context, Item, parse
from codegen.readers.keras.members import read_members
from codegen.readers.keras.table import ALIASES, MODELS, ItemMaker
from codegen.readers.keras.weights import Binding, PairingError, PathFile
from codegen.readers.options import Options


def read(path: Path, options: Options) -> Model:
    """The model in a file."""
    return Reader(path, options.config, options).model()


def read_live(model: Any, options: Options) -> Model:
    """A live model is saved by its own Keras, then read like any file."""
    if not callable(getattr(model, "save", None)) or not hasattr(model, "get_config"):
        raise ReadError(f"expected a path or a Keras model, found {type(model).__name__}")
    with tempfile.TemporaryDirectory() as folder:
        failures = []
        for suffix in (".keras", ".h5"):
            # Keras 2 writes HDF5 under either name, and knows no zip before 2.12.
            path = Path(folder) / f"model{suffix}"
            try:
                model.save(str(path))
                found = Reader(path, None, options).model()
            except ReadError:
                raise
            except Exception as error:  # noqa: BLE001  # whatever this Keras raises when it cannot save
                failures.append(f"{suffix}: {error}")
                continue
            return found
    raise ReadError(f"Keras cannot save this model ({'; '.join(failures)[:400]})")


class Reader:
    """Reads one model; files stay open only while `model` runs."""

    def __init__(self, path: Path, config_path: Path | None, options: Options) -> None:
        self._path = path
        self._config_path = config_path
        self._options = options
        self._label = path.name or str(path)
        self._budget = Budget(options.max_bytes)
        self._digest = Digest()

    def model(self) -> Model:
        """The model, from whatever kind of file it is."""
        with ExitStack() as stack:
            kind = sniff.kind(self._path, self._label)
            if kind == sniff.HDF5:
                return self._hdf5(stack)
            if kind == sniff.ZIP:
                return self._zip(stack)
            if kind == sniff.DIRECTORY:
                return self._directory(stack)
            return self._json(stack)

    # ---- containers -----------------------------------------------------------------------

    def _hdf5(self, stack: ExitStack) -> Model:
        self._digest.add(self._path)
        root = stack.enter_context(hdf5.opened(self._path, self._label, self._budget))
        text = root.text("model_config")
        layers = root
        # A layer may itself be called model_weights.
        if not root.has_attribute("layer_names") and not root.has_attribute("layer_names0"):
            inner = root.group("model_weights")
            if inner is not None:
                layers = inner
        is_flat = layers.texts("layer_names") is not None
        stored = root.text("keras_version") or layers.text("keras_version") or ""
        backend = root.text("backend") or layers.text("backend") or ""
        if self._config_path is not None:
            value = self._configuration()
            found = self._era(value, "", stored)
            if is_flat:
                return self._flat(value, found, layers, "weights_h5", backend)
            return self._paths(value, found, [root], "weights_keras")
        if text is None:
            raise ReadError(*self._no_config(root, layers if is_flat else None))
        value = parse(text, self._label)
        return self._flat(value, self._era(value, stored), layers, "keras_h5", backend)

    def _zip(self, stack: ExitStack) -> Model:
        self._refuse_config()
        self._digest.add(self._path)
        members = read_members(self._path, self._label, self._options.max_bytes)
        root = stack.enter_context(
            hdf5.opened(
                members["model.weights.h5"], f"{self._label}: model.weights.h5", self._budget
            )
        )
        return self._parts(members["config.json"], members.get("metadata.json"), [root])

    def _directory(self, stack: ExitStack) -> Model:
        """The same members unpacked, the weights perhaps in several files."""
        self._refuse_config()
        texts = {
            name: self._digest.text(self._path / name)
            for name in ("config.json", "metadata.json")
            if (self._path / name).exists()
        }
        single, index = self._path / "model.weights.h5", self._path / "model.weights.json"
        if single.exists():
            self._digest.add(single)
            roots = [stack.enter_context(hdf5.opened(single, self._label, self._budget))]
        elif index.exists():
            roots = self._shards(index, stack)
        else:
            raise ReadError(f"{self._label}: expected model.weights.h5 in the directory")
        return self._parts(texts["config.json"], texts.get("metadata.json"), roots)

    def _json(self, stack: ExitStack) -> Model:
        """An index of sharded weights; a configuration alone is refused."""
        value = parse(self._digest.text(self._path), self._label)
        foreign = formats.of_object(value)
        if foreign is not None:
            raise ReadError(f"{self._label}: {foreign}")
        if "weight_map" not in value:
            raise ReadError(
                f"{self._label}: a configuration without weights; give the file of weights as "
                "MODEL and this one with --config"
            )
        if self._config_path is None:
            raise ReadError(f"{self._label}: weights without a configuration; give --config")
        roots = self._shards(self._path, stack)
        configuration = self._configuration()
        return self._paths(configuration, self._era(configuration, ""), roots, "weights_keras")

    def _shards(self, index: Path, stack: ExitStack) -> list[Group]:
        """The files that an index names; they must lie beside it."""
        value = parse(self._digest.text(index, index != self._path), index.name)
        names: set[str] = set()
        table = value.get("weight_map")
        for files in table.values() if isinstance(table, dict) else ():
            names.update(
                f for f in (files if isinstance(files, list) else [files]) if isinstance(f, str)
            )
        if not names or len(names) > 10_000:
            raise ReadError(f"{index.name}: the index names {len(names)} files of weights")
        roots = []
        for name in sorted(names):
            path = index.parent / name
            if Path(name).name != name or path.is_symlink() or not path.is_file():
                raise ReadError(f"{index.name}: {name!r} is not a file next to the index")
            if sniff.kind(path, name) != sniff.HDF5:
                raise ReadError(f"{name}: expected HDF5")
            self._digest.add(path)
            roots.append(stack.enter_context(hdf5.opened(path, name, self._budget)))
        return roots

    def _parts(self, text: bytes, metadata: bytes | None, roots: list[Group]) -> Model:
        value = parse(text, f"{self._label}: config.json")
        version: object = None
        if metadata is not None:
            version = parse(metadata, f"{self._label}: metadata.json").get("keras_version")
        return self._paths(value, self._era(value, version), roots, "keras_zip")

    # ---- files ----------------------------------------------------------------------------

    def _configuration(self) -> dict[str, Any]:
        assert self._config_path is not None
        path = self._config_path
        if sniff.kind(path, path.name) != sniff.JSON:
            raise ReadError(f"{path.name}: expected the JSON text of model.to_json()")
        return parse(self._digest.text(path), path.name)

    def _refuse_config(self) -> None:
        if self._config_path is not None:
            raise ReadError(f"{self._label}: has its own configuration; leave --config out")

    def _no_config(self, root: Group, flat: Group | None) -> list[str]:
        """The refusal of weights alone, with what the file holds, line by line."""
        if flat is not None:
            entries = weights.flat_entries(flat, self._label)
            lines = [_shapes(entry) for entry in entries if entry.arrays]
        else:
            lines = [f"{path}: {shape}" for path, shape in weights.of_layers(root.arrays())]
        if not lines:
            return [f"{self._label}: an HDF5 file without a Keras model"]
        head = (
            f"{self._label}: holds weights without a configuration; give the text of "
            "model.to_json() with --config. Found:"
        )
        return [head, *_listed(lines, 200)]

    def _era(self, value: dict[str, Any], stored: object, weights_stored: str = "") -> Era:
        if self._options.keras_version is not None:
            return era.from_option(self._options.keras_version)
        try:
            return era.detect(value, stored, weights_stored)
        except ReadError as error:
            raise ReadError(f"{self._label}: {error}") from None

    # ---- from configuration and arrays to the model -----------------------------------------

    def _item(self, value: dict[str, Any], context: Context) -> Item:
        item = ItemMaker(context).model(value, self._path.stem.partition(".")[0] or "model")
        if ALIASES.get(item.class_name, item.class_name) not in MODELS:
            raise ReadError(
                f"{self._label}: the model is of class {item.class_name!r}, expected a Sequential "
                "or functional model; what a subclass of keras.Model computes is Python code, "
                "which no file holds: build the same layers as a functional model and save that, "
                "or give the weights alone with the --config of such a model"
            )
        if item.problem is not None:
            raise ReadError(f"{self._label}: the model itself: {item.problem}")
        return item

    def _flat(
        self, value: dict[str, Any], found: Era, layers: Group, form: str, backend: str
    ) -> Model:
        entries = weights.flat_entries(layers, self._label)
        # Keras 1 does not tell; but TensorFlow numbers the outputs of what makes a variable.
        unnumbered = found.is_keras1 and not weights.are_numbered(entries)
        theano = backend == "theano" or (not backend and unnumbered)
        context = self._context(value, replace(found, theano=theano), flat=True)
        item = self._item(value, context)
        items = _saved_layers(item, found)
        try:
            if self._options.by_name:
                return self._built(item, context, weights.bind_by_name(items, entries), form)
            model, wrong = self._attempt(
                item, context, lambda: weights.bind_in_order(items, entries), form
            )
            doubtful = form == "weights_h5" and not weights.is_same_order(items, entries)
            if not wrong and model is not None and not (doubtful and _misfits(model)):
                return model
            other, other_wrong = self._attempt(
                item, context, lambda: weights.bind_by_name(items, entries), form
            )
            if not wrong and model is not None and (other is None or _misfits(other)):
                return model
        except PairingError as error:
            raise ReadError(f"{self._label}: {error}") from None
        if other is not None and not other_wrong:
            return other
        if model is not None and form == "keras_h5":
            return model  # the layers whose weights do not fit say so
        raise ReadError(
            f"{self._label}: the weights do not fit the configuration, neither in order nor by "
            "name:",
            *wrong,
            "the configuration has:",
            *_listed((_described(one) for one in items), 100),
            "the file has:",
            *_listed((_shapes(entry) for entry in entries if entry.arrays), 100),
        )

    def _attempt(
        self, item: Item, context: Context, bind: Callable[[], Binding], form: str
    ) -> tuple[Model | None, list[str]]:
        """A model and what does not fit; no model where the layers do not even pair."""
        try:
            binding = bind()
        except PairingError as error:
            return None, [str(error)]
        builder = LayerBuilder(context, binding, self._label)
        model = self._finished(item, context, builder, form)
        return model, builder.shape_errors

    def _paths(self, value: dict[str, Any], found: Era, roots: list[Group], form: str) -> Model:
        if self._options.by_name:
            raise ReadError(
                f"{self._label}: stores weights by the order of the layers, without their names; "
                "leave --by-name out"
            )
        context = self._context(value, found, flat=False)
        item = self._item(value, context)
        binding = weights.bind_paths(item, PathFile(roots, self._label))
        return self._built(item, context, binding, form)

    def _context(self, value: dict[str, Any], found: Era, flat: bool) -> Context:
        options = self._options
        orderings = era.orderings(value)
        return Context(
            era=found,
            flat=flat,
            allow_nonfinite=options.allow_nonfinite,
            inference=options.inference,
            custom=options.custom,
            orderings=orderings,
        )

    def _built(self, item: Item, context: Context, binding: Binding, form: str) -> Model:
        return self._finished(item, context, LayerBuilder(context, binding, self._label), form)

    def _finished(self, item: Item, context: Context, builder: LayerBuilder, form: str) -> Model:
        flattener = Flattener(context.era, self._label, builder.kernel_shape)
        try:
            outputs = flattener.top(item)
            if not outputs:
                raise ReadError(f"{self._label}: the model has no outputs")
            graph = batch_first(finish(flattener.calls, outputs, builder))
            _check_inputs(graph)
        except LayerError as error:
            raise ReadError(f"{self._label}: {error}") from None
        return Model(
            name=item.name,
            graph=graph,
            format=form,
            writer=f"Keras {context.era.text}" if context.era.text else "",
            source=self._label,
            digest=self._digest.short,
            dtype="float64" if builder.is_double else "float32",
            problems=tuple(builder.further),
            at_inference=tuple(builder.fixed),
        )


def _check_inputs(graph: Graph) -> None:
    """Refuse an input without an axis, unless it is an index that only Embeddings read."""
    for number in graph.inputs:
        layer = graph.nodes[number].layer
        if isinstance(layer, Input) and not layer.shape and layer.dtype != "int32":
            found = "its output is a single number, expected an axis besides the batch"
            raise LayerError(f"layer {layer.name!r}: {found}")


def _misfits(model: Model) -> bool:
    """Whether widths do not fit from layer to layer, which shows only when the model is lowered."""
    from codegen.lowering import lower

    try:
        lower(model)
    except UnsupportedError:
        return True
    return False


def _saved_layers(model: Item, found: Era) -> list[Item]:
    """The layers of which a flat file has an entry."""
    layers = [part for _, part in model.parts]
    if model.class_name == "Sequential" and layers and layers[0].class_name == "Merge":
        inner = [
            one
            for _, part in layers[0].parts
            for one in (_saved_layers(part, found) if part.is_model else [part])
        ]
        return inner + layers[1:]
    return layers


def _described(item: Item) -> str:
    names = ", ".join(slot.name for _, slot in weights.flat_slots(item))
    return f"{item.path} ({names})" if names else ""


def _shapes(entry: weights.Entry) -> str:
    return f"{entry.name}: {', '.join(str(array.shape) for array in entry.arrays)}"


def _listed(texts: Iterable[str], most: int) -> list[str]:
    """A line for each text that is not empty, but not more than `most` of them."""
    shown = [f"  {text}" for text in texts if text]
    more = [f"  and {len(shown) - most} more"] if len(shown) > most else []
    return [*shown[:most], *more] or ["  nothing"]
