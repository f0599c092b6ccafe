"""Live modules of torch: what the generated model gives is what the module gives.

These tests need torch, which `make test` does not install: `make test-torch` runs them.
"""

from __future__ import annotations

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
from codegen.lowering import lower
from codegen.program.evaluate import Reference
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


def functions(net: Any, x: Tensor) -> Tensor:
    a, b = net.fc(x).chunk(2, dim=-1)
    y = torch.sigmoid(a) * functional.leaky_relu(b, 0.2) + (1 - a) / 2.0
    y = functional.gelu(y).clamp(-1, 1) - torch.exp(-b.abs()).clamp(min=0.5)
    return functional.softmax(torch.cat([y, x.mean(dim=2, keepdim=True)], dim=-1), dim=-1)


MODELS: dict[str, Callable[[], nn.Module]] = {
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
    "one module twice": lambda: Net(lambda n, x: n.fc(torch.relu(n.fc(x))), fc=nn.Linear(3, 3)),
}  # fmt: skip
STREAM = {
    "a chain", "blocks", "the model of tutorials", "a gru", "last of a gru",
    "final states of an lstm", "a causal convolution", "a convolution cut at its end",
    "functions", "two outputs", "one module twice",
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


def test_without_states_the_argument_is_its_default() -> None:
    module = randomised(Stateful(nn.GRU))
    with pytest.raises(ReadError, match=r"output 1 is no tensor .* states=\{argument: output\}"):
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


REFUSED: dict[str, tuple[Callable[[], nn.Module], str]] = {
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
    "the batch moved": (lambda: Net(lambda n, x: x.reshape(-1, 3)), "it moves the batch axis"),
    "a part of the batch": (lambda: Net(lambda n, x: x[0]), "a part of the batch"),
    "random numbers": (lambda: Net(lambda n, x: x + torch.randn(3)), "escapes tracing"),
    "another batch_first": (
        lambda: Net(lambda n, x: n.rnn(x)[0], rnn=nn.GRU(3, 4)), "batch_first is not where",
    ),
    "another state": (
        lambda: Net(lambda n, x: n.rnn(x, torch.ones(1, 2, 4))[0],
                    rnn=nn.GRU(3, 4, batch_first=True)), "its initial state is no zeros",
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


def test_states_must_be_states() -> None:
    module = randomised(Stateful(nn.GRU))
    with pytest.raises(ReadError, match="state 'state' is to be output 7"):
        codegen.read(module, example=(X,), states={"state": 7})
    linear = Net(lambda n, x: n.fc(x), fc=nn.Linear(3, 2))
    with pytest.raises(ReadError, match="state 'x' is not the initial state"):
        codegen.read(linear, example=(X,), states={"x": 0})
