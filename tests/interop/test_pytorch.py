"""State dicts of PyTorch in and out; torch itself is not needed, and tested with in `oracles`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_seq as ts

DATA = Path(__file__).resolve().parent / "data"


class Tensor:
    """What is used of a tensor of PyTorch that requires grad."""

    layout = None
    is_meta = False

    def __init__(self, array: np.ndarray, dtype: str = "torch.float32") -> None:
        self._array, self.dtype = array, dtype

    def detach(self) -> Tensor:
        return Tensor(self._array, self.dtype)

    def cpu(self) -> Tensor:
        return self

    def float(self) -> Tensor:
        return Tensor(self._array.astype(np.float32))

    def to_dense(self) -> Tensor:
        return self

    def numpy(self) -> np.ndarray:
        return self._array


def test_prefixes_and_checkpoints() -> None:
    state = {"module._orig_mod.weight": Tensor(np.ones((2, 3), np.float32)), "module._orig_mod.bias": np.zeros(2, "f4")}
    for content in (state, {"epoch": 3, "state_dict": state}, {"model": {"model_state_dict": state}, "lr": 0.1}):
        layer = ts.interop.from_pytorch(content, ts.nn.Linear(3, 2))
        assert (layer.weight.numpy() == 1).all()
    with pytest.raises(ts.CheckpointError, match=r"got epoch: int, weights: list.*checkpoint\['state_dict'\]"):
        ts.interop.from_pytorch({"epoch": 3, "weights": [1, 2]})


def test_narrow_numbers_need_a_dtype() -> None:
    state = {"weight": Tensor(np.ones(3, np.float16), "torch.bfloat16")}
    with pytest.raises(ts.DtypeError, match="pass dtype='float32'"):
        ts.interop.from_pytorch(state)
    assert ts.interop.from_pytorch(state, dtype="float64")["weight"].dtype == np.float64
    meta = Tensor(np.ones(3))
    meta.is_meta = True
    for tensor, kind in ((Tensor(np.ones(3), "torch.complex64"), "complex64"), (meta, "meta")):
        with pytest.raises(ts.DtypeError, match=f"expected real numbers for 'w', got .*{kind}"):
            ts.interop.from_pytorch({"w": tensor})


CELLS: Any = {"LSTM": ts.nn.LSTMCell, "GRU": ts.nn.GRUCell, "RNN": ts.nn.ElmanCell}


@pytest.mark.parametrize("name", CELLS)
def test_recurrent_cells_have_the_names_of_torch(name: str, tmp_path: Path) -> None:
    layer: Any = getattr(ts.nn, name)(3, 4, num_layers=2, bidirectional=True)
    cells = CELLS[name]
    own = ts.nn.Recurrent([(cells(3, 4), cells(3, 4)), (cells(8, 4), cells(8, 4))], bidirectional=True)
    ts.interop.to_pytorch(layer, tmp_path / "a.safetensors")
    ts.interop.from_pytorch(tmp_path / "a.safetensors", own)
    ts.interop.to_pytorch(own, tmp_path / "b.safetensors")
    first, second = ts.load(tmp_path / "a.safetensors"), ts.load(tmp_path / "b.safetensors")
    assert first.keys() == second.keys()
    assert all(np.array_equal(first[name].numpy(), second[name].numpy()) for name in first)


def test_several_files_are_read_by_their_index(tmp_path: Path) -> None:
    ts.save({"weight": ts.ones((2, 3))}, tmp_path / "model-1.safetensors")
    ts.save({"bias": ts.ones(2)}, tmp_path / "model-2.safetensors")
    index = tmp_path / "model.safetensors.index.json"
    index.write_text('{"weight_map": {"weight": "model-1.safetensors", "bias": "model-2.safetensors"}}')
    assert ts.interop.from_pytorch(index).keys() == {"weight", "bias"}
    index.write_text('{"weight_map": {"weight": "../model-1.safetensors"}}')
    with pytest.raises(ts.CheckpointError, match="files beside"):
        ts.interop.from_pytorch(index)


def test_a_pt_file_says_what_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ts.CheckpointError, match=r"got a file of PyTorch.*from_pytorch"):
        ts.load(DATA / "torch.pt")
    monkeypatch.setitem(sys.modules, "torch", None)  # as if it were not installed
    with pytest.raises(ts.ArgumentError, match=r"expected torch.*weights_only=True"):
        ts.interop.from_pytorch(DATA / "torch.pt")
    with pytest.raises(ts.ArgumentError, match=r"expected torch.*safetensors"):
        ts.interop.to_pytorch(ts.nn.Linear(1, 1), tmp_path / "x.pt")
    with pytest.raises(ts.CheckpointError, match="got a model of Keras"):
        ts.interop.from_pytorch(DATA / "tagger.keras")
    (tmp_path / "x.pkl").write_bytes(b"\x80\x04N.")
    for read in (ts.load, ts.interop.from_pytorch):
        with pytest.raises(ts.CheckpointError, match="pickle"):
            read(tmp_path / "x.pkl")


def test_bad_arguments(tmp_path: Path) -> None:
    layer = ts.nn.Linear(3, 2)
    with pytest.raises(ts.ArgumentError, match=r"ends in \.safetensors"):
        ts.interop.to_pytorch(layer, tmp_path / "x.txt")
    with pytest.raises(ts.ArgumentError, match="a Module or a state dict"):
        ts.interop.to_pytorch(3, tmp_path / "x.safetensors")  # type: ignore[arg-type]
    with pytest.raises(ts.ArgumentError, match=r"missing \['bias'\].*'weight' expected \(2, 3\)"):
        ts.interop.from_pytorch({"weight": np.ones((1, 1), np.float32)}, layer)
    with pytest.raises(ts.DtypeError, match="float32' or 'float64'"):
        ts.interop.from_pytorch({}, dtype="int32")
