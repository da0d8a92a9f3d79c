"""`from_onnx`: the model of an ONNX file as a module, whose recurrent nodes are layers of this package."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from ..autograd.tensor import Tensor
from ..base.files import read_regular, shown
from ..errors import ArgumentError, CheckpointError, DtypeError, TinygradSeqError
from ..nn import Module, Parameter
from ..ops.casting import SUPPORTED
from ..scan.ir.trace import Tracer
from .general_cells import KINDS
from .onnx_graph import Graph, check_functions, parse_graph, widened
from .onnx_interpreter import CONTROL, make_layers, run_graph
from .onnx_operators import OPERATORS


class OnnxModel(Module):
    """The graph of an ONNX file: its weights are parameters, and its recurrent nodes layers. `from_onnx` makes it.

    Attributes
    ----------
    weights : dict of Parameter
        The floating-point arrays among the initial values of the graph, by their names in the file.
    layers : dict of modules
        The layers of the recurrent nodes whose weights are constant, by the name of the node.
    input_names, output_names : tuple of str
        The inputs and outputs of the graph.
    """

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self.layers = make_layers(graph)
        used = set(graph.outputs)
        kept = []
        for node in reversed(graph.nodes):
            if not used.isdisjoint(node.outputs):
                kept.append(node)
                used |= node.reads()
        graph.nodes = kept[::-1]
        constants = {name: value for name, value in graph.constants.items() if name in used}
        trained = [name for name, value in constants.items() if value.dtype.kind == "f" and value.ndim]
        self.weights = {name: Parameter(value := constants.pop(name), dtype=value.dtype) for name in trained}
        self._constants = constants
        self.input_names = tuple(name for name in graph.inputs if name not in graph.constants)
        self.output_names = graph.outputs
        graph.constants = {}

    def forward(self, *inputs: Any, **named: Any) -> Any:
        """Return the outputs of the graph.

        Parameters
        ----------
        *inputs : array_like
            The inputs, in the order of `input_names`.
        **named : array_like
            Inputs by name.

        Returns
        -------
        Tensor, or a tuple of Tensor
            The output, or the outputs in the order of `output_names`.

        Raises
        ------
        ArgumentError
            If an input is missing or unknown, or a node cannot run on them; the message names the node.
        DtypeError
            If an input is not of numbers.
        """
        given = {**dict(zip(self.input_names, inputs, strict=False)), **named}
        if len(inputs) > len(self.input_names) or given.keys() != set(self.input_names):
            raise ArgumentError(
                f"OnnxModel: expected the inputs {list(self.input_names)}, got {len(inputs)} by position and "
                f"{list(named)} by name; pass each once."
            )
        values = {**self.weights, **self._constants, **{name: self._as_input(name, x) for name, x in given.items()}}
        outputs = tuple(
            Tensor(x) if isinstance(x, np.ndarray) else x for x in run_graph(self._graph, values, self.layers)
        )
        return outputs[0] if len(outputs) == 1 else outputs

    def _as_input(self, name: str, value: Any) -> Any:
        """Return an input; ndarrays and lists are cast to the dtype of the model."""
        if isinstance(value, Tensor | Tracer):
            return value
        array = widened(np.asarray(value))
        if array.dtype.name not in SUPPORTED:
            raise DtypeError(f"OnnxModel: expected numbers for the input {name!r}, got {array.dtype}; convert them.")
        if name in self._graph.floats:
            own = next((parameter.dtype for parameter in self.parameters()), np.dtype(np.float32))
            return array.astype(own)
        return array


def from_onnx(path: str | os.PathLike[str]) -> OnnxModel:
    """Read the model of an ONNX file, such as one that PyTorch, tf2onnx or `to_onnx` has exported.

    ``LSTM``, ``GRU`` and ``RNN`` nodes become layers of this package, with all options of ONNX, and ``Scan`` becomes
    `ts.scan`; other nodes call the package's functions. So the model can be trained. Numbers of 16 bits are widened to
    float32. The package onnx parses the file (the extra ``onnx``).

    Parameters
    ----------
    path
        The file. Weights in other files are read if these are in the same folder or below it.

    Returns
    -------
    OnnxModel
        The model, in evaluation mode. It takes the inputs of the graph, by position or by name, and returns its output,
        or a tuple of them.

    Raises
    ------
    CheckpointError
        If the file cannot be read, or is not a whole ONNX model.
    ArgumentError
        If onnx is not installed, or the model has operators that are not supported; the message lists them.
    DtypeError
        If a weight is not of real numbers, integers or booleans.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> model = ts.interop.from_onnx("tagger.onnx")  # doctest: +SKIP
    >>> model(tokens).shape  # doctest: +SKIP
    (20, 1, 9)
    """
    content = read_regular(path, "from_onnx")
    place = shown(path)
    try:
        import onnx
    except ImportError as error:
        raise ArgumentError(
            f"from_onnx: expected the package onnx, which parses {place}, got none; run pip install "
            "'tinygrad-seq[onnx]'."
        ) from error
    from google.protobuf.message import DecodeError

    try:
        model = onnx.ModelProto.FromString(content)
        if model.functions:
            check_functions(model)
            from onnx.inliner import inline_local_functions

            model = inline_local_functions(model)
        graph = parse_graph(model, Path(os.path.realpath(path)).parent)
    except TinygradSeqError as error:
        raise type(error)(f"from_onnx: {place}: {error}") from error
    except (DecodeError, ValueError, TypeError, KeyError, MemoryError, RecursionError, RuntimeError) as error:
        raise CheckpointError(
            f"from_onnx: expected {place} to be a whole ONNX model, got one of {len(content):,} bytes that is cut "
            f"short or damaged ({ascii(str(error))[1:-1][:200] or type(error).__name__}); use another copy."
        ) from error
    unknown = sorted({node.op for node in graph.all_nodes()} - OPERATORS.keys() - KINDS.keys() - CONTROL.keys())
    if unknown:
        raise ArgumentError(
            f"from_onnx: expected supported operators in {place}, got {ascii(', '.join(unknown))[1:-1][:300]}; export "
            "the model without them, in float32 and for inference."
        )
    try:
        return OnnxModel(graph).eval()
    except TinygradSeqError as error:
        raise type(error)(f"from_onnx: {place}: {error}") from error
