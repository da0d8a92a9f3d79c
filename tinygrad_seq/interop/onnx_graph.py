"""The graph of an ONNX file as plain objects: checked names, attributes and constants."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..base.files import open_regular, shown
from ..errors import CheckpointError, DtypeError
from ..ops.casting import SUPPORTED

LOWEST_OPSET = 7


@dataclass
class Node:
    """One node of a graph.

    Attributes
    ----------
    op, name, inputs, outputs
        As in the file; the name is made unique. An input that is left out is "".
    attributes
        Numbers, texts, arrays, lists of them, and graphs, by name.
    opset
        The version of the operators.
    place
        The node in messages: ``node 3 (LSTM 'encoder')``.
    """

    op: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]
    opset: int
    place: str

    def get(self, name: str, default: Any = None) -> Any:
        """Return an attribute."""
        return self.attributes.get(name, default)

    def reads(self) -> set[str]:
        """Return the names of all values that the node and the graphs in it read from outside."""
        names = {name for name in self.inputs if name}
        for value in self.attributes.values():
            if isinstance(value, Graph):
                names |= value.reads()
        return names


@dataclass
class Graph:
    """A graph: its nodes in order, the names of its inputs and outputs, and its initial values.

    Attributes
    ----------
    floats
        The names of the inputs that are floating-point numbers of at most 32 bits.
    """

    nodes: list[Node]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    floats: frozenset[str] = frozenset()

    def reads(self) -> set[str]:
        """Return the names of the values of other graphs that this graph reads."""
        made = {*self.inputs, *self.constants, *(name for node in self.nodes for name in node.outputs)}
        names = set(self.outputs).union(*[node.reads() for node in self.nodes])
        return names - made

    def all_nodes(self) -> Iterator[Node]:
        """Yield the nodes of this graph and of the graphs in it."""
        for node in self.nodes:
            yield node
            for value in node.attributes.values():
                if isinstance(value, Graph):
                    yield from value.all_nodes()


def check_functions(model: Any) -> None:
    """Raise unless the functions of a ``ModelProto`` can be written out.

    Raises
    ------
    CheckpointError
        If one calls itself, or they are more than 2^20 nodes.
    """
    bodies = {(function.domain, function.name): function.node for function in model.functions}
    counts: dict[tuple[str, str], float] = {}

    def count(nodes: Any) -> float:
        total = 0.0
        for node in nodes:
            key = (node.domain, node.op_type)
            if key in bodies and key not in counts:
                counts[key] = math.inf  # until it is known: for calls of itself
                counts[key] = count(bodies[key])
            total += 1 + counts.get(key, 0) + sum([count(attribute.g.node) for attribute in node.attribute])
        return total

    if count(model.graph.node) > 1 << 20:
        raise CheckpointError(
            "expected functions of at most 2^20 nodes in all that do not call themselves; export anew."
        )


def parse_graph(model: Any, folder: Path) -> Graph:
    """Return the graph of a ``ModelProto``; weights in other files are read from `folder`.

    Raises
    ------
    CheckpointError
        If the graph is not valid, or a file of weights is missing, too short, or outside of the folder.
    DtypeError
        If a constant is not of real numbers, integers or booleans.
    """
    versions = {entry.domain: entry.version for entry in model.opset_import}
    opset = versions.get("", versions.get("ai.onnx", 0))
    if not model.HasField("graph") or not model.graph.output:
        raise CheckpointError("expected an ONNX model, got no graph with outputs; use another copy.")
    if opset < LOWEST_OPSET:
        raise CheckpointError(
            f"expected opset {LOWEST_OPSET} or later, got {opset}; convert it with onnx.version_converter."
        )
    return _graph(model.graph, set(), opset, folder, set())


def _graph(proto: Any, outer: set[str], opset: int, folder: Path, names: set[str]) -> Graph:
    inputs = tuple(_text(value.name) for value in proto.input)
    if proto.sparse_initializer:
        raise CheckpointError("expected dense initial values, got sparse ones; export the model without them.")
    constants = {_text(tensor.name): to_array(tensor, folder) for tensor in proto.initializer}
    own = {*inputs, *constants}
    known = outer | own
    nodes = []
    for number, entry in enumerate(proto.node):
        operator, named = _text(entry.op_type), _text(entry.name)
        place = f"node {number} ({ascii(operator[:40])[1:-1]} {named[:80]!a})"
        if entry.domain not in ("", "ai.onnx"):
            operator = f"{_text(entry.domain)[:60]}.{operator[:40]}"
        reads, makes = tuple(map(_text, entry.input)), tuple(map(_text, entry.output))
        missing = [name for name in reads if name and name not in known]
        if missing:
            raise CheckpointError(
                f"{place}: expected inputs that are made before it, got {missing[0][:80]!a}; the graph has a cycle, "
                "is not in order, or is cut short."
            )
        attributes: dict[str, Any] = {}
        for attribute in entry.attribute:
            attributes[_text(attribute.name)] = _attribute(attribute, known, opset, folder, names)
        unique = named or next((name for name in makes if name), operator)
        while unique in names:
            unique = f"{unique[:80]}_{len(names)}"
        names.add(unique)
        nodes.append(Node(operator, unique, reads, makes, attributes, opset, place))
        if twice := own.intersection(makes) - {""}:
            raise CheckpointError(f"{place}: expected new names of outputs, got {min(twice)[:80]!a} twice.")
        own.update(makes)
        known.update(makes)
    outputs = tuple(_text(value.name) for value in proto.output)
    if missing := [name for name in outputs if name not in known]:
        raise CheckpointError(f"expected outputs that a node makes, got {missing[0][:80]!a}; the graph is cut short.")
    floats = [_text(value.name) for value in proto.input if value.type.tensor_type.elem_type in (1, 10, 16)]
    return Graph(nodes, inputs, outputs, constants, frozenset(floats))


def _text(value: Any) -> str:
    """Return a name; protobuf returns bytes where these are no UTF-8."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


_FIELDS = {1: "f", 2: "i", 6: "floats", 7: "ints"}  # the types of attributes that are numbers
_TEXTS = {3: "s", 8: "strings"}


def _attribute(proto: Any, known: set[str], opset: int, folder: Path, names: set[str]) -> Any:
    """Return the value of an attribute."""
    if proto.type in _FIELDS:
        value = getattr(proto, _FIELDS[proto.type])
        return value if isinstance(value, int | float) else list(value)
    if proto.type == 3:
        return proto.s.decode("utf-8", "replace")
    if proto.type == 8:
        return [text.decode("utf-8", "replace") for text in proto.strings]
    if proto.type == 4:
        return to_array(proto.t, folder)
    if proto.type == 5:
        return _graph(proto.g, known, opset, folder, names)
    return None  # no operator that is supported has attributes of other types


def to_array(tensor: Any, folder: Path) -> np.ndarray:
    """Return a ``TensorProto`` as an array; numbers of 8 and 16 bits are widened to float32.

    Raises
    ------
    CheckpointError
        If its data are not as many as its shape says, or in a file that cannot be read.
    DtypeError
        If its numbers are of a kind that a Tensor cannot have.
    """
    from onnx import TensorProto, numpy_helper

    name = ascii(_text(tensor.name)[:80])
    if any(size < 0 for size in tensor.dims):
        raise CheckpointError(f"tensor {name}: expected sizes >= 0, got {list(tensor.dims)[:8]}; use another copy.")
    if tensor.data_location == TensorProto.EXTERNAL:
        _read_external(tensor, folder)
    try:
        array = widened(np.asarray(numpy_helper.to_array(tensor)))
    except (ValueError, TypeError, KeyError, MemoryError, AttributeError) as error:
        raise CheckpointError(
            f"tensor {name}: expected data of shape {tuple(tensor.dims)[:8]}, got {ascii(str(error))[1:-1][:100]}; use "
            "another copy."
        ) from error
    if array.dtype.name not in SUPPORTED:
        raise DtypeError(
            f"tensor {name}: expected real numbers, integers or booleans, got {array.dtype}; export it in float32."
        )
    return np.array(array, array.dtype.newbyteorder("="))


def widened(array: np.ndarray) -> np.ndarray:
    """Return floating-point numbers of 8 and 16 bits as float32, and other arrays as they are."""
    narrow = array.dtype.name in ("float16", "bfloat16") or array.dtype.name.startswith("float8")
    return array.astype(np.float32) if narrow else array


def _read_external(tensor: Any, folder: Path) -> None:
    """Read the data of a tensor from its file."""
    given = {_text(entry.key): _text(entry.value) for entry in tensor.external_data}
    path = Path(os.path.realpath(folder / given.get("location", "")))
    name = f"tensor {tensor.name[:80]!a}"
    if not path.is_relative_to(os.path.realpath(folder)):
        raise CheckpointError(
            f"{name}: expected its data in the folder of the model, got {shown(given.get('location', ''))}; move the "
            "file there."
        )
    with open_regular(path, name) as file:
        size = os.fstat(file.fileno()).st_size
        offset = int(given.get("offset", 0))
        length = int(given.get("length", size - offset))
        if not 0 <= offset <= offset + length <= size:
            raise CheckpointError(
                f"{name}: expected {length:,} bytes from byte {offset:,} of {shown(path)}, which has {size:,}; use "
                "another copy."
            )
        file.seek(offset)
        tensor.raw_data = file.read(length)
    tensor.data_location = 0
    tensor.ClearField("external_data")


def size_of(shape: tuple[int, ...] | list[int]) -> tuple[int, ...]:
    """Return a shape that a node asks for, if an array of it is of a reasonable size.

    Raises
    ------
    CheckpointError
        If it has more than 2^28 elements.
    """
    if min(shape, default=0) < 0 or math.prod(shape) > 1 << 28:
        raise CheckpointError(f"expected sizes >= 0 and at most 2^28 elements, got {tuple(shape)}; check the model.")
    return tuple(shape)
