"""A seed -> the description of a model. What Keras refuses to build is drawn again."""

from __future__ import annotations

import math
import random
from typing import Any

from tests.random_models.build import Builder, Spec, Step
from tests.random_models.table import DRAWN, KINDS, Kind, On, Shape, goals, sizes_list, value

GOALS = goals()
STRIDE = 104729  # a prime: every goal has its turn, and neighbours are of different kinds
ATTEMPTS = 10  # to draw a model
TRIES = 40  # for one step
LENGTHS = (4, 4, 4, 5, 3, 6, 2)
CONTAINERS = ("keras", "keras", "h5", "weights")
SCALARS = ("call.use_causal_mask", "call.return_attention_scores")
Ref = dict[str, Any]


class CannotDrawError(Exception):
    """No model with this goal could be built."""


def draw(seed: int) -> Spec:
    """The description of model `seed`; its goal, one option of one layer, follows from the seed."""
    goal = GOALS[seed * STRIDE % len(GOALS)]
    for attempt in range(ATTEMPTS):
        try:
            return Drawing(seed, goal, attempt).spec()
        except CannotDrawError:
            continue
    raise CannotDrawError(f"{goal[0]} {goal[1]} {goal[2]}")


class Drawing:
    """One model while it is drawn: every step is built at once, to know what its shapes are."""

    def __init__(self, seed: int, goal: tuple[str, str, Any], attempt: int = 0) -> None:
        self.seed, self.goal = seed, goal
        self.r = random.Random(1000 * seed + attempt)
        self.steps: list[Step] = []
        self.builder = Builder()
        self.refs: list[Ref] = []  # of float tensors that may be used on
        self.others: list[Ref] = []  # of other types

    def spec(self) -> Spec:
        r = self.r
        stateful = self._stateful_wanted()
        self.builder = Builder(2 if stateful else None)
        free = r.random() < 0.55
        self._input(r.choice((1, 2, 2, 2, 3, 3, 4)), free)
        for _ in range(r.choice((0, 0, 0, 1, 1, 2))):
            self._any()
        key, option, wanted = self.goal
        for _ in range(TRIES):
            if self._step(KINDS[key], option, wanted):
                break
        else:
            raise CannotDrawError(f"{key} {option} {wanted}")
        mark = len(self.steps)
        for _ in range(r.choice((0, 1, 1, 2, 3))):
            self._any()
        if r.random() < 0.15:
            self._share()
        outputs = self._outputs(mark)
        count = r.choice((2, 3)) if stateful else r.choice((1, 1, 2))
        spec = {
            "seed": self.seed,
            "container": r.choice(CONTAINERS),
            "batch": 2,
            "fixed_batch": stateful,
            "calls": [[r.choice((12, 7, 8, 16, 9))] for _ in range(count)],
            "outputs": outputs,
            "steps": self.steps,
        }
        spec = without_unused(spec)
        if is_chain(spec["steps"], spec["outputs"]) and r.random() < 0.7:
            spec["sequential"] = True
        return spec

    def _stateful_wanted(self) -> bool:
        key, option, wanted = self.goal
        has = "stateful" in KINDS[key].options or key == "Bidirectional"
        if option == "stateful":
            return bool(wanted)
        return has and self.r.random() < 0.25

    # ---- tensors --------------------------------------------------------------------------

    def _tensor(self, ref: Ref) -> Any:
        return self.builder.argument(ref)

    def _shape(self, ref: Ref) -> Shape:
        return tuple(self._tensor(ref).shape[1:])

    def _input(self, rank: int, free: bool, **options: Any) -> Ref:
        r = self.r
        side = r.choice(LENGTHS)
        shape: list[int | None] = [
            side if r.random() < 0.5 else r.choice(LENGTHS) for _ in range(rank)
        ]
        if (free and rank > 1) or (free and options.get("high") and rank == 1):
            shape[0] = None
        elif rank > 2 or r.random() < 0.5:
            shape[0] = r.choice((4, 6, 8))
        if rank >= 2 and r.random() < 0.25 and "filled" not in options and not options.get("high"):
            options["filled"] = 0.0
        return self._input_of(shape, **options)

    def _input_of(self, shape: Any, **options: Any) -> Ref:
        kind = {"dtype": "int32"} if options.get("high") else {}
        step = {
            "id": len(self.steps),
            "class": "Input",
            "options": {"shape": list(shape), **kind, **options},
        }
        return self._apply(step)[0]

    def _apply(self, step: Step) -> list[Ref]:
        outputs = self.builder.apply(step)
        self.steps.append(step)
        refs = [{"ref": [step["id"], k]} for k in range(len(outputs))]
        for ref, y in zip(refs, outputs, strict=True):
            if 1 < len(y.shape) <= 6:
                (self.refs if "float" in str(y.dtype) else self.others).append(ref)
        return refs

    def _called(self, name: str, *args: Any, **options: Any) -> Ref:
        """A step that is needed for another."""
        kwargs = options if name.startswith("ops.") else {}
        step = {
            "id": len(self.steps),
            "class": name,
            "options": {} if kwargs else options,
            "args": list(args),
            "kwargs": kwargs,
        }
        return self._apply(step)[0]

    def _of_rank(self, ranks: tuple[int, ...]) -> Ref:
        """A tensor with so many axes: one that is there, or a new input."""
        rank = self.r.choice(ranks)
        others = [ref for ref in self.others if len(self._shape(ref)) in ranks]
        if others and self.r.random() < 0.2:
            return self.r.choice(others)
        for wanted in ((rank,), ranks):
            there = [ref for ref in self.refs if len(self._shape(ref)) in wanted]
            if there:
                latest = there[-3:]
                return self.r.choice(latest)
        return self._input(rank, self.r.random() < 0.5)

    # ---- steps ----------------------------------------------------------------------------

    def _any(self) -> bool:
        """Any step on what is there; False where ten tries found none."""
        kinds = list(KINDS.values())
        weights = [kind.weight for kind in kinds]
        for _ in range(10):
            (kind,) = self.r.choices(kinds, weights)
            if self._step(kind):
                return True
        return False

    def _step(self, kind: Kind, option: str = "", wanted: Any = DRAWN) -> bool:
        """Whether one step of this kind could be added."""
        before = (len(self.steps), list(self.refs), list(self.others), list(self.builder.inputs))
        try:
            ref = self._argument(kind)
            step = self._described(kind, ref, option, wanted)
            if step is None:
                raise ValueError("the option does not fit")
            for y in self._sound(self._apply(step)):
                if math.prod(n or 8 for n in self._shape(y)) > 600:
                    raise ValueError("too large")
        except Exception:  # noqa: BLE001  # Keras raises whatever it likes of what does not fit
            del self.steps[before[0] :]
            self.refs, self.others, self.builder.inputs = before[1], before[2], before[3]
            self._forget(before[0])
            return False
        return True

    def _forget(self, first: int) -> None:
        """Take back what steps from this number on have made."""
        values = self.builder.values
        self.builder.values = {key: y for key, y in values.items() if key[0] < first}

    def _sound(self, refs: list[Ref]) -> list[Ref]:
        for ref in refs:
            if any(n == 0 for n in self._tensor(ref).shape[1:]):
                raise ValueError("an empty tensor")
        return refs

    def _argument(self, kind: Kind) -> Ref:
        """The tensor that the kind is called on."""
        r = self.r
        if kind.inputs == "indices":
            rank = r.choice(kind.ranks)
            return self._input(rank, r.random() < 0.5, high=3)
        if kind.inputs == "masked":
            return self._input(r.choice(kind.ranks), r.random() < 0.5, filled=None)
        ref = self._of_rank(kind.ranks)
        if kind.inputs == "thin":
            shape = self._shape(ref)
            axis = r.randint(1, len(shape) + 1)
            return self._called("ops.expand_dims", ref, axis=axis)
        if kind.domain == "positive":
            ref = self._called("ops.add", self._called("ops.abs", ref), {"constant": 0.4})
        elif kind.domain == "small":
            ref = self._called("ops.tanh", ref)
        elif kind.domain == "truth":
            ref = self._called("ops.greater", ref, {"constant": r.choice((0.0, 0.5, -0.5))})
        return ref

    def _described(self, kind: Kind, ref: Ref, option: str, wanted: Any) -> Step | None:
        shape = self._shape(ref)
        on = On(self.r, shape)
        for name, choice in kind.options.items():
            if name == option and wanted is not DRAWN:
                on.chosen[name] = wanted
            elif name in kind.needs or name == option or self.r.random() < 0.3:
                on.chosen[name] = value(on, choice)
        chosen = on.chosen
        if "stateful" in chosen and chosen["stateful"] and not self.builder.batch:
            if option == "stateful":
                return None
            del chosen["stateful"]
        if kind.name == "RNN" and any(k == "zero_output_for_mask" for k in chosen):
            chosen.setdefault("call.mask", "tensor")
            chosen.pop("unroll", None)  # the NumPy and JAX of Keras then forget the zeros
        if kind.name == "Masking":
            filled = chosen.get("mask_value", 0.0)
            self.steps[ref["ref"][0]]["options"]["filled"] = filled
        if kind.name == "Embedding" or kind.key in ("CategoryEncoding", "ops.one_hot"):
            high = chosen.get("input_dim", chosen.get("num_tokens", chosen.get("num_classes")))
            self.steps[ref["ref"][0]]["options"]["high"] = high
        options_chosen = {
            k: v if isinstance(kind.options[k], tuple) else "" for k, v in chosen.items()
        }
        for name, given in list(chosen.items()):
            if isinstance(given, dict) and "inside" in given:
                chosen[name] = self._inside(kind, tuple(given["inside"]), shape)
        if kind.name == "Chain":  # its options are those of the model itself
            chosen |= chosen.pop("model")["layer"]["options"]
        args, kwargs = self._arguments(kind, ref, chosen)
        options = {k: v for k, v in chosen.items() if not k.startswith("call.")}
        if kind.is_op:
            kwargs = {**options, **kwargs}
            options = {}
        return {
            "id": len(self.steps),
            "class": kind.key,
            "options": options,
            "args": args,
            "kwargs": kwargs,
            "chosen": options_chosen,
        }

    def _inside(self, kind: Kind, shape: Shape, outer: Shape) -> Any:
        """A layer, or a chain of them, for a wrapper."""
        if kind.name == "SpectralNormalization":
            names = ["Dense", "Conv1D", "Conv2D", "EinsumDense", "Conv1DTranspose"]
            return {"layer": self._alone(self.r.choice(names), outer)}
        count = self.r.choice((1, 1, 1, 2, 3))
        layers, at = [], shape
        for _ in range(count):
            layer = self._alone(None, at)
            if layer is None:
                continue
            at = self._output(layer, at)
            layers.append(layer)
        if not layers:
            raise ValueError("nothing fits inside")
        if len(layers) == 1 and self.r.random() < 0.7 and kind.name != "Chain":
            return {"layer": layers[0]}
        chain = {"layers": layers, "shape": list(shape), "functional": self.r.random() < 0.5}
        return {"layer": {"class": "Chain", "options": chain}}

    def _alone(self, name: str | None, shape: Shape) -> Any:
        """A layer of one input for this shape, None where many tries found none."""
        r = self.r
        names = [
            key
            for key, kind in KINDS.items()
            if len(shape) in kind.ranks and kind.inputs == "one" and not kind.is_op
        ]
        wrappers = ("TimeDistributed", "SpectralNormalization", "Chain")
        names = [n for n in names if n not in wrappers]
        for _ in range(12):
            key = name or r.choice(names)
            on = On(r, shape)
            kind = KINDS[key]
            for option, choice in kind.options.items():
                if option.startswith("call.") or option in ("stateful", "return_state"):
                    continue
                if option in kind.needs or r.random() < 0.3:
                    on.chosen[option] = value(on, choice)
            layer = {"class": key, "options": on.chosen}
            try:
                out = self._output(layer, shape)
            except Exception:  # noqa: BLE001, S112  # as in _step
                continue
            if out and 0 not in out:
                return layer
        return None

    def _output(self, layer: Any, shape: Shape) -> Shape:
        import keras

        from tests.random_models.build import made

        y = made(layer["class"], layer["options"])(keras.Input(shape))
        return tuple(y.shape[1:])

    def _share(self) -> None:
        """Call a layer once more, on another tensor."""
        r = self.r
        old = [
            s
            for s in self.steps
            if s["class"] in KINDS and s.get("args") and not s["class"].startswith("ops.")
        ]
        if not old:
            return
        step = r.choice(old)
        shape = self._tensor(step["args"][0]).shape if "ref" in step["args"][0] else None
        there = [x for x in self.refs if self._tensor(x).shape == shape]
        if there and len(step["args"]) == 1:
            before = len(self.steps)
            again = {**step, "id": before, "args": [r.choice(there)], "share": step["id"]}
            again["kwargs"] = {}
            try:
                self._apply(again)
            except Exception:  # noqa: BLE001  # as in _step
                del self.steps[before:]
                self._forget(before)

    def _outputs(self, mark: int) -> list[Ref]:
        """Tensors that nothing else uses; the goal's own is among those that lead there."""
        used = {tuple(ref) for step in self.steps for ref in references(step)}
        ends: list[Ref] = []
        for step in self.steps:
            if step["class"] == "Input":
                continue
            for key in sorted(k for k in self.builder.values if k[0] == step["id"]):
                y = self.builder.values[key]
                if key not in used and len(y.shape) > 1 and 0 not in y.shape:
                    ends.append({"ref": list(key)})
        goal = self.steps[mark - 1]["id"]
        tail = [e for e in ends if goal in self._below(e)]
        rest = [e for e in ends if e not in tail]
        chosen = tail[:3] + [e for e in rest if self.r.random() < 0.3][:1]
        if not tail:
            raise CannotDrawError("no outputs")
        return chosen

    def _below(self, ref: Ref) -> set[int]:
        """The steps that a tensor depends on."""
        by_id = {step["id"]: step for step in self.steps}
        found: set[int] = set()
        todo = [ref["ref"][0]]
        while todo:
            number = todo.pop()
            if number not in found:
                found.add(number)
                todo += [r[0] for r in references(by_id[number])]
                if by_id[number].get("share") is not None:
                    todo.append(by_id[number]["share"])
        return found

    # ---- arguments ------------------------------------------------------------------------

    def _arguments(self, kind: Kind, ref: Ref, chosen: dict[str, Any]) -> tuple[Any, Any]:
        calls = {k[5:]: chosen[k] for k in chosen if k.startswith("call.")}
        way = {
            "one": self._one, "indices": self._one, "masked": self._one, "thin": self._one,
            "two": self._merged, "many": self._merged, "joined": self._merged,
            "attended": self._attended, "called": self._attended, "operands": self._operands,
            "listed": self._merged, "chosen": self._where, "product": self._product,
            "contracted": self._contracted,
        }[kind.inputs]  # fmt: skip
        return way(kind, ref, chosen, calls)

    def _one(self, kind: Kind, ref: Ref, chosen: Any, calls: Any) -> tuple[Any, Any]:
        kwargs: dict[str, Any] = {}
        if "initial_state" in calls:
            kwargs["initial_state"] = self._states(kind, ref, chosen, calls["initial_state"])
        if "mask" in calls:
            carried = "initial_state" in calls or chosen.get("stateful", self.builder.batch)
            kwargs["mask"] = self._mask(ref, calls["mask"], ends=bool(carried))
        if kind.key == "ops.get_item":
            return [ref, chosen.pop("key")], {}
        if kind.key == "ops.take":
            return [ref, chosen.pop("indices")], {}
        if kind.key == "ops.average" and "weights" in chosen:
            shape, way = self._shape(ref), chosen.pop("weights")
            axis = chosen["axis"]
            n = shape[axis if axis < 0 else axis - 1]
            if way == "tensor":
                kwargs["weights"] = self._called("ops.abs", self._like(ref))
            elif n:
                kwargs["weights"] = {"constant": [0.5 + k for k in range(n)]}
        if kind.key == "ops.tensordot":
            chosen["axes"] = 1
        if kind.name == "Chain" and chosen.get("inputs") == 2:
            return [[ref, self._like(ref)]], kwargs
        return [ref], kwargs

    def _states(self, kind: Kind, ref: Ref, chosen: Any, way: str) -> Any:
        """An initial state for each of the layer's, from a tensor or a constant."""
        if kind.name == "RNN" or "ConvLSTM" in kind.name:
            from tests.random_models.build import made

            options = {k: v for k, v in chosen.items() if not k.startswith("call.")}
            layer = made(kind.name, options)
            layer.build(self._tensor(ref).shape)
            batch = self._tensor(ref).shape[0] or 1
            shapes = [tuple(s.shape[1:]) for s in _flat(layer.get_initial_state(batch))]
        else:
            shapes = [(chosen["units"],)] * (2 if kind.name == "LSTM" else 1)
        states: list[Any] = []
        for shape in shapes:
            if way == "constants":
                total = math.prod(shape)
                numbers = sizes_list(On(self.r, shape), total)
                batch = 2 if self.builder.batch else 1
                states.append({"constant": _nested(numbers * batch, (batch, *shape))})
            else:
                states.append(self._input_of(shape))
        return states[0] if len(states) == 1 and self.r.random() < 0.5 else states

    def _mask(self, ref: Ref, way: str, ends: bool = False) -> Any:
        """A mask for the steps of a tensor; with `ends` its first and last step count.

        What comes before the first step that counts is zero with TensorFlow and PyTorch, and here;
        the NumPy and JAX of Keras give the state, which is another where it does not begin at zero.
        """
        shape = self._shape(ref)
        if way == "constant":
            n = shape[0]
            if n is None:
                raise ValueError("a constant mask of no length")
            one = [self.r.random() < 0.7 for _ in range(n)]
            one = [True, *one[1:-1], True][:n] if ends else one
            batch = 2 if self.builder.batch else 1
            return {"constant": [one] * batch, "dtype": "bool"}
        index = [{"slice": [None, None, None]}, {"slice": [None, None, None]}]
        index += [0] * (len(shape) - 1)
        first = self._called_with("ops.get_item", [ref, index])
        mask = self._called("ops.greater", first, {"constant": -0.6})
        if not ends:
            return mask
        whole = {"slice": [None, None, None]}
        inner = self._called_with("ops.get_item", [mask, [whole, {"slice": [1, -1, None]}]])
        end = self._called_with("ops.get_item", [mask, [whole, {"slice": [0, 1, None]}]])
        true = self._called("ops.logical_or", end, self._called("ops.logical_not", end))
        return self._called("ops.concatenate", [true, inner, true], axis=1)

    def _called_with(self, name: str, args: list[Any]) -> Ref:
        step = {"id": len(self.steps), "class": name, "options": {}, "args": args, "kwargs": {}}
        return self._apply(step)[0]

    def _like(self, ref: Ref) -> Ref:
        """Another tensor of the same shape: one that is there, a new input, or made of it."""
        shape, r = self._tensor(ref).shape, self.r
        there = [x for x in self.refs if x != ref and self._tensor(x).shape == shape]
        way = r.random()
        if there and way < 0.5:
            return r.choice(there)
        if way < 0.6:
            return ref
        if way < 0.8:
            return self._input_of(shape[1:])
        return self._called("ops.tanh", ref)

    def _merged(self, kind: Kind, ref: Ref, chosen: Any, calls: Any) -> tuple[Any, Any]:
        r = self.r
        count = 2 if kind.inputs == "two" else r.choice((1, 2, 2, 3, 4))
        if kind.inputs == "many":
            count = max(2, count)
        parts: list[Any] = [ref]
        shape = self._shape(ref)
        for _ in range(count - 1):
            way = r.random()
            if way < 0.15 and kind.inputs in ("many", "two") and None not in shape:
                batch = 2 if self.builder.batch else 1
                total = math.prod(n or 1 for n in shape)
                numbers = sizes_list(On(r, shape), total)
                parts.append({"constant": _nested(numbers * batch, (batch, *shape))})
            elif way < 0.3 and kind.inputs == "many" and len(shape) > 1:  # of other lengths
                parts.append(self._input_of([1, *shape[1:]]))
            elif way < 0.5 and kind.inputs == "joined" and len(shape) > 1:
                axis = chosen.get("axis", -1)
                other = list(shape)
                other[axis if axis < 0 else axis - 1] = r.choice((1, 2, 3))
                parts.append(self._input_of(other))
            else:
                parts.append(self._like(ref))
        r.shuffle(parts)
        return [parts], {}

    def _attended(self, kind: Kind, ref: Ref, chosen: Any, calls: Any) -> tuple[Any, Any]:
        r = self.r
        shape = self._shape(ref)
        way = r.random()
        other = ref
        if way < 0.3:
            other = self._like(ref)
        elif way < 0.5:
            other = self._input_of([r.choice((3, 5)), *shape[1:]])
        kwargs = {
            k: v for k, v in calls.items() if k in ("use_causal_mask", "return_attention_scores")
        }
        if kind.inputs == "attended":
            parts = [ref, other]
            if r.random() < 0.4:
                parts.append(self._like(other))
            if "mask" in calls:
                first = None if calls["mask"] == "value" else self._mask(ref, "tensor")
                second = None if calls["mask"] == "query" else self._mask(other, "tensor")
                kwargs["mask"] = [first, second]
            return [parts], kwargs
        if "key" in calls:
            kwargs["key"] = self._like(other)
        for name, x in (("query_mask", ref), ("value_mask", other), ("key_mask", other)):
            if name in calls:
                kwargs[name] = self._mask(x, "tensor")
        if "attention_mask" in calls:
            kwargs["attention_mask"] = self._attention_mask(ref, other, calls["attention_mask"])
        return [ref, other], kwargs

    def _attention_mask(self, query: Ref, keys: Ref, way: str) -> Any:
        t, s = self._shape(query)[0], self._shape(keys)[0]
        if t is None or s is None:
            raise ValueError("an attention mask of free lengths")
        if way == "constant":
            rows = [[self.r.random() < 0.7 for _ in range(s)] for _ in range(t)]
            return {"constant": [rows], "dtype": "bool"}
        return self._called("ops.greater", self._input_of([t, s]), {"constant": -0.5})

    def _operands(self, kind: Kind, ref: Ref, chosen: Any, calls: Any) -> tuple[Any, Any]:
        if "other" in chosen:
            other = chosen.pop("other")
            args = [ref, other if isinstance(other, dict) else {"constant": other}]
            plain = not isinstance(other, dict) and self.r.random() < 0.7
            args = [ref, other] if plain else args
        elif "equal" in kind.name or kind.name in {"greater", "less"}:
            # Not of what is nearly the same number, which rounding would tell apart.
            same = self.r.random() < 0.2
            args = [ref, ref if same else self._input_of(self._shape(ref))]
        else:
            args = [ref, self._like(ref)]
            if kind.domain == "positive":
                args[1] = self._called(
                    "ops.add", self._called("ops.abs", args[1]), {"constant": 0.6}
                )
            elif kind.domain == "truth":
                args[1] = self._called(
                    "ops.less",
                    self._like(self._of_rank((len(self._shape(ref)),))),
                    {"constant": 0.2},
                )
        if self.r.random() < 0.3:
            args.reverse()
        return args, {}

    def _where(self, kind: Kind, ref: Ref, chosen: Any, calls: Any) -> tuple[Any, Any]:
        condition = self._called("ops.greater", self._like(ref), {"constant": 0.1})
        parts = []
        for name in ("yes", "no"):
            given = chosen.pop(name, None)
            if given is None:
                parts.append(ref if self.r.random() < 0.5 else self._like(ref))
            else:
                parts.append(given)
        return [condition, *parts], {}

    def _product(self, kind: Kind, ref: Ref, chosen: Any, calls: Any) -> tuple[Any, Any]:
        shape = self._shape(ref)
        n = shape[-1] or 1
        way = chosen.pop("other")
        kwargs = {"axes": 1} if kind.name == "tensordot" else {}
        if way == "constant":
            m = self.r.choice((1, 2, 3))
            return [ref, {"constant": [sizes_list(On(self.r, shape), m) for _ in range(n)]}], kwargs
        if len(shape) < 2:
            raise ValueError("no product of vectors")
        order = [*range(len(shape) - 1), len(shape), len(shape) - 1]
        return [ref, self._called("ops.transpose", self._like(ref), axes=order)], kwargs

    def _contracted(self, kind: Kind, ref: Ref, chosen: Any, calls: Any) -> tuple[Any, Any]:
        return [chosen.pop("subscripts"), ref, self._like(ref)], {}


def _flat(value: Any) -> list[Any]:
    if isinstance(value, (list, tuple)):
        return [x for part in value for x in _flat(part)]
    return [value]


def _nested(numbers: list[float], shape: tuple[Any, ...]) -> Any:
    if not shape:
        return numbers[0]
    size = len(numbers) // shape[0]
    return [_nested(numbers[k * size : (k + 1) * size], shape[1:]) for k in range(shape[0])]


def references(step: Step) -> list[list[int]]:
    """The outputs of other steps that a step refers to."""

    def walk(value: Any) -> list[list[int]]:
        if isinstance(value, dict):
            return [value["ref"]] if "ref" in value else []
        if isinstance(value, list):
            return [ref for part in value for ref in walk(part)]
        return []

    return walk(step.get("args", [])) + walk(list(step.get("kwargs", {}).values()))


def is_chain(steps: list[Step], outputs: list[Ref]) -> bool:
    """Whether the steps are an input and layers of one tensor, each called on what is before it."""
    before: Ref = {"ref": [steps[0]["id"], 0]}
    for step in steps[1:]:
        alone = step.get("args") == [before] and not step["kwargs"] and step.get("share") is None
        if not alone or step["class"].startswith("ops."):
            return False
        before = {"ref": [step["id"], 0]}
    return steps[0]["class"] == "Input" and outputs == [before]


def without_unused(spec: Spec) -> Spec:
    """The description without steps that no output depends on."""
    by_id = {step["id"]: step for step in spec["steps"]}
    needed: set[int] = set()
    todo = [ref["ref"][0] for ref in spec["outputs"]]
    while todo:
        number = todo.pop()
        if number not in needed:
            needed.add(number)
            todo += [r[0] for r in references(by_id[number])]
            if by_id[number].get("share") is not None:
                todo.append(by_id[number]["share"])
    return {**spec, "steps": [step for step in spec["steps"] if step["id"] in needed]}
