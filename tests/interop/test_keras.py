"""Models and weights of Keras 3, read and written without Keras. `oracles` writes the files in `data`."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_seq as ts
from tinygrad_seq.interop.keras_layers import ACTIVATIONS

h5py = pytest.importorskip("h5py")

DATA = Path(__file__).resolve().parent / "data"


@pytest.fixture(autouse=True)
def _eager() -> Iterator[None]:
    with ts.disable_compile():
        yield


def vectors(name: str) -> tuple[np.ndarray, np.ndarray]:
    with np.load(DATA / f"{name}.npz") as file:
        return file["x"], file["y"]


@pytest.mark.parametrize("file", ["tagger.keras", "tagger.h5", "scorer.keras"])
def test_a_model_of_keras_gives_its_outputs(file: str) -> None:
    """Keras 3.15 on torch wrote these: masks, two directions, both forms of the GRU, backwards, a functional model."""
    x, y = vectors(file.split(".", maxsplit=1)[0])
    model = ts.interop.from_keras(DATA / file).eval()
    np.testing.assert_allclose(model(x).numpy(), y, rtol=1e-5, atol=1e-6)


def test_the_layout_of_earlier_versions_is_read(tmp_path: Path) -> None:
    """Keras 2.13 to 2.15 name the folder otherwise, and count a layer twice, so numbers are left out."""
    with zipfile.ZipFile(DATA / "tagger.keras") as old, zipfile.ZipFile(tmp_path / "old.keras", "w") as new:
        buffer = io.BytesIO(old.read("model.weights.h5"))
        with h5py.File(buffer, "r+") as file:
            file.move("layers", "_layer_checkpoint_dependencies")
            file["_layer_checkpoint_dependencies"].move("gru", "gru_2")
        new.writestr("model.weights.h5", buffer.getvalue())
        new.writestr("config.json", old.read("config.json"))
        new.writestr("metadata.json", '{"keras_version": "2.15.0"}')
    x, y = vectors("tagger")
    np.testing.assert_allclose(ts.interop.from_keras(tmp_path / "old.keras").eval()(x).numpy(), y, rtol=1e-5, atol=1e-6)


def test_weights_alone_need_a_model(tmp_path: Path) -> None:
    x, y = vectors("tagger")
    model = ts.interop.from_keras(DATA / "tagger.keras")
    with pytest.raises(ts.ArgumentError, match=r"weights alone.*from_keras\(path, model\)"):
        ts.interop.from_keras(DATA / "tagger.weights.h5")
    ts.interop.to_keras(model, tmp_path / "own.weights.h5")
    with ts.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0 * parameter.numpy())
    assert ts.interop.from_keras(tmp_path / "own.weights.h5", model) is model
    np.testing.assert_allclose(model.eval()(x).numpy(), y, rtol=1e-5, atol=1e-6)
    # The configuration of a whole model tells the order also where layers are wrapped, as TimeDistributed does.
    with ts.no_grad():
        model.layers["embedding"].embedding.weight.copy_(np.zeros((9, 3)))
    ts.interop.from_keras(DATA / "tagger.keras", model)
    np.testing.assert_allclose(model(x).numpy(), y, rtol=1e-5, atol=1e-6)


MODELS: list[tuple[str, Callable[[], Any]]] = [
    ("lstm", lambda: ts.nn.LSTM(3, 4, num_layers=2, dropout=0.1)),
    ("gru", lambda: ts.nn.GRU(3, 4, bidirectional=True, merge="sum")),
    ("rnn", lambda: ts.nn.RNN(3, 4, nonlinearity="relu", bias=False)),
    ("cells", lambda: ts.nn.Recurrent([ts.nn.GRUCell(3, 4), ts.nn.LSTMCell(4, 2)])),
    ("layers", lambda: [ts.nn.Linear(3, 4), ts.nn.LayerNorm(4), ts.nn.GELU(), ts.nn.GRU(4, 2), ts.nn.Softmax(-1)]),
    ("dense", lambda: ts.nn.Sequential(ts.nn.Linear(3, 4), ts.nn.LeakyReLU(0.2), ts.nn.Linear(4, 2, bias=False))),
]


@pytest.mark.parametrize("make", [make for _, make in MODELS], ids=[name for name, _ in MODELS])
def test_round_trips_are_exact(make: Callable[[], Any], tmp_path: Path) -> None:
    ts.manual_seed(0)
    model, x = make(), ts.randn(5, 2, 3)
    ts.interop.to_keras(model, tmp_path / "a.keras")
    once = ts.interop.from_keras(tmp_path / "a.keras")
    ts.interop.to_keras(once, tmp_path / "b.keras")
    twice = ts.interop.from_keras(tmp_path / "b.keras")
    assert once.state_dict().keys() == twice.state_dict().keys()
    assert all(map(np.array_equal, once.state_dict().values(), twice.state_dict().values()))
    once.eval()
    y: Any = x
    for part in model if isinstance(model, list) else [model.eval()]:
        y = part(y)
        y = y[0] if isinstance(y, tuple) else y
    flat = x if isinstance(model, ts.nn.Sequential) else ts.swapaxes(x, 0, 1)
    given = once(flat) if isinstance(model, ts.nn.Sequential) else ts.swapaxes(once(flat), 0, 1)
    np.testing.assert_allclose(given.numpy(), y.numpy(), rtol=1e-5, atol=1e-6)


def test_a_language_model_round_trips(tmp_path: Path) -> None:
    model = ts.train.LanguageModel(7, 3, 4, num_layers=2, dropout=0.2, cell="gru").eval()
    tokens = np.array([[1, 2, 3], [4, 5, 6]])
    ts.interop.to_keras(model, tmp_path / "lm.keras")
    again = ts.interop.from_keras(tmp_path / "lm.keras").eval()
    np.testing.assert_allclose(again(tokens.T).numpy().swapaxes(0, 1), model(tokens)[0].numpy(), rtol=1e-5, atol=1e-6)


def test_every_activation_of_keras_is_finite() -> None:
    from tinygrad_seq.interop.general_cells import activate

    x = ts.tensor([-2.0, 0.0, 2.0])
    assert all(np.isfinite(activate(activation, x).numpy()).all() for activation in ACTIVATIONS.values())


# ------------------------------------------------------------------------------------------------------ bad input


def changed(tmp_path: Path, change: Callable[[Any], Any], name: str = "tagger") -> Path:
    """Return a model whose configuration is changed."""
    path = tmp_path / "changed.keras"
    with zipfile.ZipFile(DATA / f"{name}.keras") as old, zipfile.ZipFile(path, "w") as new:
        for member in old.namelist():
            data = old.read(member)
            if member == "config.json":
                config = json.loads(data)
                change(config["config"]["layers"])
                data = json.dumps(config).encode()
            new.writestr(member, data)
    return path


def set_config(number: int, **values: Any) -> Callable[[Any], Any]:
    return lambda layers: layers[number]["config"].update(values)


BAD: list[tuple[Callable[[Any], Any], type[Exception], str]] = [
    (lambda layers: layers.pop(), ts.CheckpointError, "got also those of 'time_distributed'"),
    (lambda layers: layers[1].update(class_name="Lambda"), ts.ArgumentError, "expected layers of .*got 'Lambda'"),
    (lambda layers: layers[1].update(class_name=3), ts.CheckpointError, "class_name"),
    (set_config(3, activation="softer"), ts.ArgumentError, "expected activation to be one of"),
    (set_config(3, stateful=True), ts.ArgumentError, "expected stateful=False"),
    (set_config(3, return_state=True), ts.ArgumentError, "expected return_state=False"),
    (set_config(3, use_bias="yes"), ts.CheckpointError, "use_bias of type bool, got 'yes'"),
    (set_config(3, reset_after=True), ts.CheckpointError, "reset_after=True"),
    (set_config(2, merge_mode="product"), ts.CheckpointError, "merge_mode"),
    (set_config(1, mask_zero=3), ts.CheckpointError, "mask_zero"),
]


@pytest.mark.parametrize(("change", "error", "text"), BAD)
def test_a_bad_configuration_is_refused(
    change: Callable[[Any], Any], error: type[Exception], text: str, tmp_path: Path
) -> None:
    path = changed(tmp_path, change)
    with pytest.raises(error, match=text) as raised:
        ts.interop.from_keras(path)
    assert "\n" not in str(raised.value)


def test_a_functional_model_that_is_no_chain_is_refused(tmp_path: Path) -> None:
    def twice(layers: Any) -> None:
        layers[-1]["inbound_nodes"][0]["args"].append(layers[-2]["inbound_nodes"][0]["args"][0])

    with pytest.raises(ts.ArgumentError, match="one after the other"):
        ts.interop.from_keras(changed(tmp_path, twice, "scorer"))


def test_files_that_are_damaged_or_hostile_are_refused(tmp_path: Path) -> None:
    path, whole = tmp_path / "x.keras", (DATA / "tagger.keras").read_bytes()
    for content in (
        whole[:-100],
        whole[:5000],
        b"PK\x03\x04",
        b"",
        b"\x80\x04.",
        whole.replace(b"\x89HDF", b"\x89HDG"),
    ):
        path.write_bytes(content)
        with pytest.raises(ts.CheckpointError, match=r"^from_keras: [^\n]*$"):
            ts.interop.from_keras(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("metadata.json", "{}")
        bomb.writestr("config.json", b" " * (1 << 26) + b" {}")
    with pytest.raises(ts.CheckpointError, match="at most"):
        ts.interop.from_keras(path)


@pytest.mark.parametrize("kind", ["huge", "external", "soft", "integers"])
def test_weights_are_read_from_the_file_alone(kind: str, tmp_path: Path) -> None:
    buffer = io.BytesIO((DATA / "tagger.weights.h5").read_bytes())
    with h5py.File(buffer, "r+") as file:
        group = file["layers/embedding/vars"]
        del group["0"]
        if kind == "huge":
            group.create_dataset("0", (1 << 40, 3), "f4", chunks=(1 << 10, 3))
        elif kind == "external":
            group.create_dataset("0", (9, 3), "f4", external=[(str(tmp_path / "other"), 0, 108)])
        elif kind == "soft":
            group["0"] = h5py.SoftLink("/layers/gru/cell/vars/0")
        else:
            group["0"] = np.ones((9, 3), np.int8)
    (tmp_path / "x.weights.h5").write_bytes(buffer.getvalue())
    with pytest.raises(ts.CheckpointError, match="expected the "):
        ts.interop.from_keras(tmp_path / "x.weights.h5", ts.interop.from_keras(DATA / "tagger.keras"))


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (ts.nn.Recurrent(ts.nn.MGUCell(3, 4)), "MGUCell; Keras has no such layer"),
        (ts.nn.GRU(3, 3, residual=True), "without residual"),
        (ts.nn.GRU(3, 3, go_backwards=True), "without go_backwards"),
        (ts.nn.LSTM(3, 4, proj_size=2), "without weight_hr"),
        (ts.nn.CRF(3), "pass the layers of the model in the order"),
        ([ts.nn.Dropout(0.1)], "number of inputs"),
    ],
    ids=["cell", "residual", "backwards", "projection", "module", "size"],
)
def test_what_keras_cannot_express_is_said(model: Any, text: str, tmp_path: Path) -> None:
    with pytest.raises(ts.ArgumentError, match=text):
        ts.interop.to_keras(model, tmp_path / "x.keras")
    assert list(tmp_path.iterdir()) == []


def test_inputs_are_cast_and_dropout_is_off() -> None:
    x, y = vectors("scorer")
    np.testing.assert_allclose(
        ts.interop.from_keras(DATA / "scorer.keras")(x.astype(np.float64).tolist()).numpy(), y, 1e-5
    )
