"""Live modules of torch: what the generated model gives is what the module gives.

These tests need torch, which `make test` does not install: `make test-torch` runs them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import codegen
from codegen.errors import CodegenError, ReadError, UnsupportedError
from codegen.lowered import Reference
from codegen.lowering import lower
from codegen.readers.torch.layers import KINDS
from tests.support.targets import TARGETS, TOLERANCE, started, worst


class Net(nn.Module):
    """Modules by name, and what is computed with them."""

    def __init__(self, run: Callable[..., Any], **modules: nn.Module) -> None:
        super().__init__()
        self.run = run
        for name, module in modules.items():
            setattr(self, name, module)

    def forward(self, x: Tensor) -> Any:
        return self.run(self, x)


def randomised(module: nn.Module, seed: int = 1) -> nn.Module:
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
            if "running_var" in name:
                tensor.copy_(torch.rand(tensor.shape) + 0.5)
            elif tensor.is_floating_point():
                tensor.copy_(torch.randn(tensor.shape) * 0.5)
    return module


X = torch.randn(2, 7, 3, generator=torch.Generator().manual_seed(1))


class Block(nn.Module):
    """A residual block of one's own, with an option decided in Python."""

    def __init__(self, width: int, skip: bool) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
        self.scale = nn.Parameter(torch.ones(width))
        self.skip = skip

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(x) * self.scale
        return x + y if self.skip else y


class Classic(nn.Module):
    """The model of most tutorials: states of zeros made by hand, the last step taken."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(3, 5, num_layers=2, batch_first=True, dropout=0.2)
        self.fc = nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        h0 = torch.zeros(2, x.size(0), 5).to(x.device)
        c0 = torch.zeros(2, x.size(0), 5).to(x.device)
        out, _ = self.lstm(x, (h0, c0))
        return self.fc(out[:, -1, :])


def tcn(net: Any, x: Tensor) -> Tensor:
    y = x.transpose(1, 2)
    y = functional.relu(net.a(functional.pad(y, (4, 0))))
    y = net.norm(net.b(functional.pad(y, (8, 0)))) + net.skip(x.permute(0, 2, 1))
    return y.transpose(1, 2)


def chomped(net: Any, x: Tensor) -> Tensor:
    return net.a(x.transpose(1, 2))[:, :, :-2].transpose(1, 2)


def both_ends(net: Any, x: Tensor) -> Tensor:
    _, h = net.rnn(x)
    return net.fc(torch.cat([h[-2], h[-1]], dim=1))


def final_lstm(net: Any, x: Tensor) -> Tensor:
    _, (h, c) = net.rnn(x)
    return torch.cat((h[-1], c[0]), 1)


def time_first(net: Any, x: Tensor) -> Tensor:
    y, h = net.rnn(x.permute(1, 0, 2))
    return net.fc(torch.tanh(y)).permute(1, 0, 2) + net.fc(h.squeeze(0)).unsqueeze(1)


def seq2seq(net: Any, x: Tensor) -> Tensor:
    _, h = net.encoder(x)
    return net.decoder(x, h)[0]


def pooled(net: Any, x: Tensor) -> Tensor:
    y = net.b(net.a(net.up(x.transpose(1, 2))))
    return net.c(y.unsqueeze(1)).squeeze(1)


def functions(net: Any, x: Tensor) -> Tensor:
    a, b = net.fc(x).chunk(2, dim=-1)
    y = torch.sigmoid(a) * functional.leaky_relu(b, 0.2) + (1 - a) / 2.0
    y = functional.gelu(y).clamp(-1, 1) - torch.exp(-b.abs()).clamp(min=0.5)
    return functional.softmax(torch.cat([y, x.mean(dim=2, keepdim=True)], dim=-1), dim=-1)


def attended(net: Any, x: Tensor) -> Tensor:
    y = net.rnn(x)[0]
    weights = torch.softmax(torch.bmm(y, y.transpose(1, 2)) / 2.0, dim=-1)
    return torch.max(weights @ y, dim=1)[0] + (torch.softmax(net.fc(y), 1) * y).sum(1)


def masked(net: Any, x: Tensor) -> Tensor:
    y = torch.where(x > 0.1, x, 0.1 * x).masked_fill(x.le(-1), 0.5)
    return y + (x == x.max(dim=-1, keepdim=True).values).float() * torch.min(x, y)


def scaled(net: Any, x: Tensor) -> Tensor:
    y = (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + 0.1)
    y = functional.layer_norm(y, (3,), net.norm.weight, net.norm.bias) * x.var(
        2, unbiased=False, keepdim=True
    )
    return functional.conv1d(y.transpose(1, 2), net.conv.weight, padding=1).transpose(1, 2)


def moved(net: Any, x: Tensor) -> Tensor:
    y = x[:, :1].expand(-1, x.size(1), -1) + x.flip(1).cumsum(1)
    y = torch.cat([y, x.mean(1, keepdim=True).repeat(1, x.size(1), 2)], -1)
    return functional.pad(y.unsqueeze(1), (0, 0, 1, 0), value=0.5).squeeze()


MODELS: dict[str, Callable[[], nn.Module]] = {
    "attention by hand": lambda: Net(
        attended, rnn=nn.GRU(3, 4, batch_first=True), fc=nn.Linear(4, 1)
    ),
    "comparisons": lambda: Net(masked),
    "statistics and weights of functions": lambda: Net(
        scaled, norm=nn.LayerNorm(3), conv=nn.Conv1d(3, 2, 3)
    ),
    "repeated, turned around, summed up": lambda: Net(moved),
    "a chain": lambda: nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Dropout(), nn.Linear(4, 2)),
    "blocks": lambda: nn.Sequential(Block(3, True), nn.LayerNorm(3), Block(3, False)),
    "the model of tutorials": Classic,
    "a gru": lambda: Net(lambda n, x: n.rnn(x)[0], rnn=nn.GRU(3, 4, 2, batch_first=True)),
    "last of a gru": lambda: Net(
        lambda n, x: n.fc(n.rnn(x)[0][:, -1]), rnn=nn.GRU(3, 4, batch_first=True),
        fc=nn.Linear(4, 2),
    ),
    "an rnn with relu, both directions": lambda: Net(
        lambda n, x: n.rnn(x)[0],
        rnn=nn.RNN(3, 4, batch_first=True, bidirectional=True, nonlinearity="relu"),
    ),
    "final states of both directions": lambda: Net(
        both_ends, rnn=nn.GRU(3, 4, batch_first=True, bidirectional=True), fc=nn.Linear(8, 2)
    ),
    "final states of an lstm": lambda: Net(
        final_lstm, rnn=nn.LSTM(3, 4, batch_first=True, proj_size=2)
    ),
    "time first inside": lambda: Net(time_first, rnn=nn.GRU(3, 4), fc=nn.Linear(4, 2)),
    "an encoder's state": lambda: Net(
        seq2seq, encoder=nn.GRU(3, 4, batch_first=True), decoder=nn.GRU(3, 4, batch_first=True)
    ),
    "a causal convolution": lambda: Net(
        tcn, a=nn.Conv1d(3, 4, 5), b=nn.Conv1d(4, 4, 3, dilation=4), norm=nn.BatchNorm1d(4),
        skip=nn.Conv1d(3, 4, 1),
    ),
    "a convolution cut at its end": lambda: Net(chomped, a=nn.Conv1d(3, 4, 3, padding=2)),
    "functions": lambda: Net(functions, fc=nn.Linear(3, 4)),
    "two outputs": lambda: Net(
        lambda n, x: (n.fc(x), n.rnn(x)[0][:, -1]), fc=nn.Linear(3, 2),
        rnn=nn.GRU(3, 4, batch_first=True),
    ),
    "flattened": lambda: Net(
        lambda n, x: n.fc(torch.flatten(n.conv(x.transpose(1, 2)), 1)), conv=nn.Conv1d(3, 2, 2),
        fc=nn.Linear(12, 2),
    ),
    "without biases": lambda: nn.Sequential(
        nn.Linear(3, 4, bias=False), nn.LayerNorm(4, bias=False), nn.Conv1d(7, 7, 1, bias=False),
        nn.BatchNorm1d(7, affine=False), nn.GroupNorm(7, 7, affine=False),
    ),
    "one module twice": lambda: Net(lambda n, x: n.fc(torch.relu(n.fc(x))), fc=nn.Linear(3, 3)),
    "pooling of every kind": lambda: Net(
        pooled, a=nn.MaxPool1d(3, 1, 1, dilation=2), b=nn.AvgPool1d(3, 2, 1, ceil_mode=True),
        c=nn.AvgPool2d((2, 1), padding=(1, 0), count_include_pad=False),
        up=nn.ConvTranspose1d(3, 6, 3, 2, 1, 1, groups=3),
    ),
}  # fmt: skip
STREAM = {
    "a chain", "blocks", "the model of tutorials", "a gru", "last of a gru",
    "final states of an lstm", "a causal convolution", "a convolution cut at its end",
    "functions", "two outputs", "one module twice", "comparisons",
}  # fmt: skip


def expected(module: nn.Module, *inputs: Tensor) -> list[Any]:
    with torch.no_grad():
        found = module.eval()(*inputs)
    return [y.numpy() for y in (found if isinstance(found, tuple) else (found,))]


@pytest.mark.parametrize("name", list(MODELS))
def test_a_model_computes_what_its_module_does(name: str, tmp_path: Path) -> None:
    module = randomised(MODELS[name]())
    lowered = lower(codegen.read(module, example=(X,)))
    other = torch.randn(X.shape, generator=torch.Generator().manual_seed(5))
    for x in (X, other):
        found = Reference(lowered, len(x)).predict(x.numpy())
        assert worst(found, expected(module, x)) <= TOLERANCE
    assert (lowered.step is not None) == (name in STREAM), lowered.reason
    for target in TARGETS:
        model = started(target, lowered, tmp_path)
        for row in (0, 1):
            wanted = [y[row] for y in expected(module, other)]
            assert worst(model.predict(other[row].numpy()), wanted) <= TOLERANCE


@pytest.mark.parametrize("name", sorted(STREAM))
def test_a_stream_takes_other_lengths_than_the_example(name: str) -> None:
    module = randomised(MODELS[name]())
    lowered = lower(codegen.read(module, example=(X,)))
    x = torch.randn(1, 11, 3)
    found = Reference(lowered, 1).predict(x.numpy())
    assert worst(found, expected(module, x)) <= TOLERANCE


class Stateful(nn.Module):
    """States that go in and come out."""

    def __init__(self, kind: type[nn.Module], **options: Any) -> None:
        super().__init__()
        self.rnn = kind(3, 4, batch_first=True, **options)
        self.fc = nn.Linear(4, 2)

    def forward(self, x: Tensor, state: Any = None) -> Any:
        y, state = self.rnn(x, state)
        return self.fc(y), state


@pytest.mark.parametrize("kind", [nn.GRU, nn.LSTM, nn.RNN])
@pytest.mark.parametrize("layers", [1, 2])
def test_states_are_carried(kind: type[nn.Module], layers: int) -> None:
    module = randomised(Stateful(kind, num_layers=layers))
    model = codegen.read(module, example=(X,), states={"state": 1})
    lowered = lower(model)
    assert any(layer.is_stateful for layer in model.layers)
    reference, state = Reference(lowered, 2), None
    module.eval()
    for part in (X[:, :3], X[:, 3:4], X[:, 4:]):
        with torch.no_grad():
            y, state = module(part, state)
        assert worst(reference.predict(part.numpy()), [y.numpy()]) <= TOLERANCE


class ByStep(nn.Module):
    """One step of a network of one's own: what goes in and comes out is what `run` says."""

    def __init__(self, run: Callable[..., Any], **modules: nn.Module) -> None:
        super().__init__()
        self.run = run
        for name, module in modules.items():
            setattr(self, name, module)

    def forward(self, x: Tensor, state: Any = None) -> Any:
        return self.run(self, x, state)


def tutorial(net: Any, x: Tensor, h: Any) -> Any:
    """The character RNN of many tutorials."""
    h = x.new_zeros(x.shape[0], 4) if h is None else h
    both = torch.cat([x, h], 1)
    h = torch.tanh(net.i2h(both))
    return functional.log_softmax(net.i2o(both), dim=-1), h


def gru_cell(net: Any, x: Tensor, h: Any) -> Any:
    h = net.cell(x, h)
    return net.fc(h), h


def lstm_cell(net: Any, x: Tensor, state: Any) -> Any:
    h, c = net.cell(x, state)
    return net.fc(h), (h, c)


def two_cells(net: Any, x: Tensor, state: Any) -> Any:
    state = (None, None) if state is None else state
    a = net.a(x, state[0])
    b = net.b(a, state[1])
    return net.fc(b), (a, b)


def swapped(net: Any, x: Tensor, state: Any) -> Any:
    a, b = (torch.zeros(len(x), 3),) * 2 if state is None else state
    return a + net.fc(b), (b, torch.tanh(x + net.fc(a)))


def one_row(net: Any, x: Tensor, h: Any) -> Any:
    """A sequence of one step each time, with a state that is changed on the way."""
    y, h = net.rnn(x, None if h is None else h * 0.5)
    return net.fc(y), h + 0.1


def lone(net: Any, x: Tensor, h: Any) -> Any:
    """A sequence of one step that is made of the input, time first."""
    y, h = net.rnn(x.unsqueeze(0), h)
    return net.fc(y[0]), h


def before(net: Any, x: Tensor, last: Any) -> Any:
    """A convolution over two steps, whose caller keeps the row before."""
    last = torch.zeros_like(x) if last is None else last
    return net.fc(torch.cat([last, x], dim=1)), x


def embedded(net: Any, x: Tensor, h: Any) -> Any:
    h = net.cell(net.emb(x), h)
    return net.fc(h), h


BY_STEP: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "a network of tutorials": (
        lambda: ByStep(tutorial, i2h=nn.Linear(7, 4), i2o=nn.Linear(7, 2)), (2, 3),
    ),
    "GRUCell": (lambda: ByStep(gru_cell, cell=nn.GRUCell(3, 4), fc=nn.Linear(4, 2)), (2, 3)),
    "GRUCell of one sample": (
        lambda: ByStep(gru_cell, cell=nn.GRUCell(3, 4), fc=nn.Linear(4, 2)), (1, 3),
    ),
    "RNNCell without bias": (
        lambda: ByStep(gru_cell, cell=nn.RNNCell(3, 4, bias=False, nonlinearity="relu"),
                       fc=nn.Linear(4, 2)), (3, 3),
    ),
    "LSTMCell": (lambda: ByStep(lstm_cell, cell=nn.LSTMCell(3, 4), fc=nn.Linear(4, 2)), (2, 3)),
    "two cells": (
        lambda: ByStep(two_cells, a=nn.GRUCell(3, 4), b=nn.GRUCell(4, 5), fc=nn.Linear(5, 2)),
        (2, 3),
    ),
    "states that change places": (lambda: ByStep(swapped, fc=nn.Linear(3, 3)), (2, 3)),
    "a row of a sequence": (
        lambda: ByStep(one_row, rnn=nn.GRU(3, 4, 2, batch_first=True), fc=nn.Linear(4, 2)),
        (2, 1, 3),
    ),
    "a sequence that is made": (
        lambda: ByStep(lone, rnn=nn.GRU(3, 4, 2), fc=nn.Linear(4, 2)), (2, 3),
    ),
    "the row before": (lambda: ByStep(before, fc=nn.Linear(6, 2)), (2, 3)),
    "an index": (
        lambda: ByStep(embedded, emb=nn.Embedding(9, 3), cell=nn.GRUCell(3, 4),
                       fc=nn.Linear(4, 2)), (2,),
    ),
}  # fmt: skip


def rows(shape: tuple[int, ...], count: int) -> list[Tensor]:
    chance = torch.Generator().manual_seed(3)
    if len(shape) == 1:
        return list(torch.randint(0, 9, (count, *shape), generator=chance))
    return list(torch.randn(count, *shape, generator=chance))


@pytest.mark.parametrize("name", list(BY_STEP))
def test_one_run_is_one_step(name: str, tmp_path: Path) -> None:
    make, shape = BY_STEP[name]
    module, runs = randomised(make()).eval(), rows(shape, 6)
    lowered = lower(codegen.read(module, example=(runs[0],), states={"state": 1}))
    assert lowered.step is not None
    state, wanted = None, []
    for x in runs:
        with torch.no_grad():
            y, state = module(x, state)
        wanted.append(y.numpy().reshape(shape[0], -1))
    given = torch.stack([x[:, 0] if x.ndim == 3 else x for x in runs], dim=1).numpy()
    reference = Reference(lowered, shape[0])
    for part in (slice(0, 1), slice(1, 4), slice(4, 6)):
        expected = np.stack(wanted[part], 1)
        assert worst(reference.predict(given[:, part]), [expected]) <= TOLERANCE
    for target in TARGETS:
        model = started(target, lowered, tmp_path)
        model.reset()
        for x, y in zip(given[0], wanted, strict=True):
            assert worst(model.step(x), [y[0]]) <= TOLERANCE


def test_states_may_be_given_with_the_example() -> None:
    module = randomised(ByStep(lstm_cell, cell=nn.LSTMCell(3, 4), fc=nn.Linear(4, 2)))
    zeros = torch.zeros(2, 4)
    model = codegen.read(module, example=(X[:, 0], (zeros, zeros)), states={"state": 1})
    assert lower(model).step is not None


def test_a_state_that_is_changed_is_not_that_of_the_layer() -> None:
    """The module is run as it is written: nothing is said of sequences of another length."""
    module = randomised(
        ByStep(
            lambda n, x, h: ((found := n.rnn(x, h))[0], found[1] * 0.5),
            rnn=nn.GRU(3, 4, batch_first=True),
        )
    )
    model = codegen.read(module, example=(X,), states={"state": 1})
    assert model.inputs[0].shape == (None, 7, 3)


def unrolled(net: Any, x: Tensor) -> Tensor:
    h, c = torch.zeros(x.size(0), 4), torch.zeros(x.size(0), 4)
    found = []
    for t in range(3):
        h, c = net.cell(x[:, t], (h, c))
        found.append(h)
    return net.fc(torch.stack(found, dim=1))


def learned(net: Any, x: Tensor) -> Tensor:
    return net.fc(net.rnn(x, net.start.expand(-1, x.size(0), -1).contiguous())[0])


def conditioned(net: Any, x: Tensor) -> Tensor:
    return net.rnn(x, torch.tanh(net.fc(x[:, 0])).unsqueeze(0))[0]


def bridged(net: Any, x: Tensor) -> Tensor:
    h = net.rnn(x)[1]
    return net.fc(h.permute(1, 0, 2).reshape(x.size(0), -1))


class Learned(Net):
    def __init__(self) -> None:
        super().__init__(learned, rnn=nn.GRU(3, 4, 2, batch_first=True), fc=nn.Linear(4, 2))
        self.start = nn.Parameter(torch.zeros(2, 1, 4))


STARTS: dict[str, Callable[[], nn.Module]] = {
    "a loop of a fixed number of turns": lambda: Net(
        unrolled, cell=nn.LSTMCell(3, 4), fc=nn.Linear(4, 2)
    ),
    "a learned start": Learned,
    "a start that is computed": lambda: Net(
        conditioned, fc=nn.Linear(3, 4), rnn=nn.GRU(3, 4, batch_first=True)
    ),
    "all final states": lambda: Net(
        bridged, rnn=nn.GRU(3, 4, batch_first=True, bidirectional=True), fc=nn.Linear(8, 2)
    ),
}


@pytest.mark.parametrize("name", list(STARTS))
def test_starts_and_final_states(name: str) -> None:
    module = randomised(STARTS[name]())
    lowered = lower(codegen.read(module, example=(X,)))
    found = Reference(lowered, len(X)).predict(X.numpy())
    assert worst(found, expected(module, X)) <= TOLERANCE
    assert (lowered.step is not None) == (name == "a learned start")


def test_without_states_the_argument_is_its_default() -> None:
    module = randomised(Stateful(nn.GRU))
    with pytest.raises(ReadError, match=r"output 1 is not a tensor .* states=\{argument: output\}"):
        codegen.read(module, example=(X,))


def test_embeddings_take_whole_numbers() -> None:
    module = randomised(
        Net(
            lambda n, x: n.rnn(n.emb(x))[0],
            emb=nn.Embedding(9, 3),
            rnn=nn.GRU(3, 4, batch_first=True),
        )
    )
    x = torch.randint(0, 9, (2, 6))
    model = codegen.read(module, example=x)
    assert model.inputs[0].dtype == "int32"
    found = Reference(lower(model), 2).predict(x.numpy())
    assert worst(found, expected(module, x)) <= TOLERANCE


def test_double_precision() -> None:
    module = randomised(Net(lambda n, x: n.fc(x), fc=nn.Linear(3, 2))).double()
    model = codegen.read(module, example=(X.double(),))
    assert model.dtype == "float64"
    found = Reference(lower(model), 2).predict(X.double().numpy())
    assert worst(found, expected(module, X.double())) <= 1e-12


def test_what_a_model_says_of_itself() -> None:
    model = codegen.read(randomised(Classic()), example=(X,))
    assert model.writer.startswith("PyTorch ")
    assert (model.format, model.source, model.keras_version) == ("torch_module", "Classic", "")
    assert model.digest == codegen.read(randomised(Classic()), example=(X,)).digest
    assert model.digest != codegen.read(randomised(Classic(), 2), example=(X,)).digest


def test_reading_leaves_the_module_as_it_was() -> None:
    module = randomised(Classic())
    module.train()
    module.get_submodule("fc").eval()
    codegen.read(module, example=(X,))
    assert module.training
    assert not module.get_submodule("fc").training


def loop(net: Any, x: Tensor) -> Tensor:
    while x.sum() > 0:
        x = x - 1
    return x


def branch(net: Any, x: Tensor) -> Tensor:
    return x if x.mean() > 0 else -x


def escaped(net: Any, x: Tensor) -> Tensor:
    y = net.fc(x)
    y.mul_(2)
    return y


def over_time(net: Any, x: Tensor) -> Tensor:
    h = torch.zeros(x.size(0), 4)
    for t in range(x.size(1)):
        h = net.cell(x[:, t], h)
    return h


REFUSED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "a loop over time": (
        lambda: Net(over_time, cell=nn.GRUCell(3, 4)),
        r"test_live\.py:\d+ \(for t in range\(x\.size\(1\)\):\): .* read a module of one step",
    ),
    "a loop over rows": (
        lambda: Net(lambda n, x: torch.stack([n.fc(row) for row in x]), fc=nn.Linear(3, 2)),
        "read a module of one step",
    ),
    "a loop over values": (lambda: Net(loop), r"test_live\.py:\d+ \(while x\.sum\(\) > 0:\)"),
    "a branch on values": (lambda: Net(branch), r"test_live\.py:\d+ .*control flow that depends"),
    "an unknown function": (
        lambda: Net(lambda n, x: torch.fft.fft(x).real), r"fft_fft|getattr|attribute",
    ),
    "an unknown module": (
        lambda: Net(lambda n, x: n.a(x), a=nn.TransformerEncoderLayer(3, 1, 8, batch_first=True)),
        "the class is not supported|cannot be traced",
    ),
    "the mean over all": (
        lambda: Net(lambda n, x: x * x.mean()), r"give dim \(test_live\.py:\d+\)",
    ),
    "where the largest is": (
        lambda: Net(lambda n, x: x.max(1).indices.float()), "the places of extreme values",
    ),
    "the batch moved": (lambda: Net(lambda n, x: x.reshape(-1, 3)), "it moves the batch axis"),
    "a part of the batch": (lambda: Net(lambda n, x: x[0]), "a part of the batch"),
    "random numbers": (lambda: Net(lambda n, x: x + torch.randn(3)), "escapes tracing"),
    "another batch_first": (
        lambda: Net(lambda n, x: n.rnn(x)[0], rnn=nn.GRU(3, 4)), "batch_first is not where",
    ),
    "a start for each sample": (
        lambda: Net(lambda n, x: n.rnn(x, torch.arange(8.0).reshape(1, 2, 4))[0],
                    rnn=nn.GRU(3, 4, batch_first=True)), "differs from sample to sample",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", list(REFUSED))
def test_what_cannot_be_traced_is_refused_by_its_line(name: str) -> None:
    make, message = REFUSED[name]
    with pytest.raises(CodegenError, match=message):
        lower(codegen.read(randomised(make()), example=(X,)))


def test_all_problems_are_told_at_once() -> None:
    module = Net(lambda n, x: torch.fft.fft(x[0]).real)
    with pytest.raises(UnsupportedError) as caught:
        lower(codegen.read(module, example=(X,)))
    assert "a part of the batch" in str(caught.value)


def test_all_problems_of_a_step_are_told_at_once() -> None:
    module = ByStep(
        lambda n, x, h: (torch.fft.fft(x[0]).real, n.cell(torch.logit(x), h)), cell=nn.GRUCell(3, 4)
    )
    with pytest.raises(UnsupportedError) as caught:
        lower(codegen.read(module, example=(X[:, 0],), states={"state": 1}))
    for part in ("a part of the batch", "logit is not supported"):
        assert part in str(caught.value)


def test_an_example_is_asked_for() -> None:
    with pytest.raises(ReadError, match=r"needs example=\(x,\)"):
        codegen.read(nn.Linear(3, 2))


def test_a_change_in_place_is_followed_or_refused() -> None:
    module = randomised(Net(escaped, fc=nn.Linear(3, 2)))
    try:
        lowered = lower(codegen.read(module, example=(X,)))
    except CodegenError:
        return
    found = Reference(lowered, 2).predict(X.numpy())
    assert worst(found, [np.asarray(y) for y in expected(module, X)]) <= TOLERANCE


OWN = {"final", "channels_first"}  # options of ours
NOT_TAKEN = {
    *("device", "dtype", "self", "args", "kwargs"),
    *("_weight", "_freeze"),  # of Embedding, for its own use
    *("min_value", "max_value"),  # of Hardtanh, by their older names
}


@pytest.mark.parametrize("name", [name for name in KINDS if hasattr(nn, name)])
def test_options_are_those_of_torch(name: str) -> None:
    bases = [kind for kind in getattr(nn, name).__mro__ if "__init__" in vars(kind)]
    known: set[str] = set()
    for kind in bases[: bases.index(nn.Module)]:
        known |= set(inspect.signature(kind.__init__).parameters)
    known |= {"RNN": {"nonlinearity"}, "Identity": {"p", "inplace"}}.get(name, set())
    given = set(inspect.signature(getattr(nn, name)).parameters) - NOT_TAKEN
    assert given <= set(KINDS[name].options) <= known | OWN


def test_states_must_be_states() -> None:
    module = randomised(Stateful(nn.GRU))
    with pytest.raises(ReadError, match="state 'state' is to be output 7"):
        codegen.read(module, example=(X,), states={"state": 7})
    linear = Net(lambda n, x: n.fc(x), fc=nn.Linear(3, 2))
    with pytest.raises(ReadError, match=r"'x' goes in as \[2, 7, 3\] and comes out as \[2, 7, 2\]"):
        codegen.read(linear, example=(X,), states={"x": 0})
    with pytest.raises(ReadError, match="no argument 'h' to be a state; there are x, state"):
        codegen.read(module, example=(X,), states={"h": 1})
