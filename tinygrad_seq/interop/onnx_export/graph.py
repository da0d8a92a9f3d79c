"""An ONNX graph while it is written: nodes, names, constants and sizes."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ...scan.ir.step import Var
from .dynamic_sizes import Filled, Iota, Prefix, Size, Triangle


class Graph:
    """Collects the nodes of a graph, or of the body of a loop in the graph `around` it.

    Parameters
    ----------
    shapes
        By variable: its shape, with `Size` where it is dynamic.
    constants
        By variable: its value.
    names
        By `id` of an array: the name that a parameter of the model has.
    """

    def __init__(
        self,
        shapes: Mapping[Var, tuple[Any, ...]],
        constants: Mapping[Var, Any],
        names: Mapping[int, str],
        uses: Counter[Var],
        around: Graph | None = None,
    ) -> None:
        import onnx

        self.onnx, self._h, self.around = onnx, onnx.helper, around
        self._shapes, self._constants, self._names, self._uses = shapes, constants, names, uses
        self.root: Graph = self if around is None else around.root
        self.nodes: list[Any] = []
        self.FLOAT, self.BFLOAT16 = onnx.TensorProto.FLOAT, onnx.TensorProto.BFLOAT16
        self.INT8, self.INT32 = onnx.TensorProto.INT8, onnx.TensorProto.INT32
        if around is None:
            self.named: dict[Var, str] = {}
            self.origins: dict[str, Var] = {}  # by name of a node: a result of the equation that it belongs to
            self.folded: dict[Var, np.ndarray] = {}
            self.initializers: dict[str, Any] = {}
            self.taken: set[str] = set()  # the names of inputs and outputs
            self._known: dict[Any, str] = {}
            self._sizes: dict[Any, str] = {}
            self._count = 0
            self.axes: dict[str, tuple[str, int]] = {}  # by name of a dynamic axis: an input that has it, and where

    def body(self) -> Graph:
        """Return an empty graph for the body of a loop in this one."""
        return Graph(self._shapes, self._constants, self._names, self._uses, self)

    # ------------------------------------------------------------------------------------------------- nodes

    def new(self, stem: str = "v") -> str:
        """Return a new name."""
        root = self.root
        root._count += 1
        name = f"{stem}{root._count}"
        return self.new(stem) if name in root.taken or name in root.initializers else name

    def node(self, op: str, *inputs: str, **attributes: Any) -> str:
        """Add a node with one output; return its name."""
        return self.several(op, 1, *inputs, **attributes)[0]

    def several(self, op: str, outputs: int, *inputs: str, **attributes: Any) -> list[str]:
        """Add a node; return the names of its outputs."""
        names = [self.new(f"{op.lower()}_") for _ in range(outputs)]
        self.nodes.append(self._h.make_node(op, list(inputs), names, name=names[0], **attributes))
        return names

    def type_of(self, dtype: np.dtype) -> int:
        """Return ONNX's number of a dtype."""
        return int(self._h.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def constant(self, array: Any, name: str = "") -> str:
        """Return the name of a constant; equal ones are stored once."""
        root, array = self.root, np.asarray(array)
        key = (array.shape, array.dtype.str, hashlib.sha256(array.tobytes()).digest())
        found = root._known.get(key)
        if found is None:
            free = name and name not in root.initializers and name not in root.taken
            found = root._known[key] = name if free else self.new("c")
            root.initializers[found] = self.onnx.numpy_helper.from_array(np.asarray(array, order="C"), found)
        return found

    def value(self, atom: Any, dtype: np.dtype, of: np.dtype | None = None) -> str:
        """Return the name of a variable, number, size, or named value of dtype `of`, cast to `dtype`."""
        if isinstance(atom, Var):
            name, of = self.name(atom), atom.dtype
            if atom in self.root.folded and of != dtype:
                return self.constant(self.root.folded[atom].astype(dtype))
        elif isinstance(atom, Size):
            name, of = self.node("Squeeze", self.root.size(atom)), np.dtype(np.int64)
        elif isinstance(atom, str):
            name = atom
        else:
            return self.constant(np.array(atom, dtype))
        return name if of == dtype else self.node("Cast", name, to=self.type_of(dtype))

    def name(self, var: Var) -> str:
        """Return the name of a variable."""
        found = self.root.named.get(var)
        if found is None:
            found = self.root.named[var] = self._name_constant(var)
        return found

    def array(self, atom: Any) -> np.ndarray | None:
        """Return the value of a constant; None if it is none."""
        found = self.root.folded.get(atom)
        value = self._constants.get(atom) if found is None else found
        return value if isinstance(value, np.ndarray) else None

    def _name_constant(self, var: Var) -> str:
        root, value = self.root, self._constants[var] if var in self._constants else self.root.folded[var]
        if isinstance(value, Filled):
            return root.node("Expand", root.constant(value.array), root.shape(value.shape))
        if isinstance(value, Iota):
            return root._iota(value)
        if isinstance(value, Triangle):
            return root._triangle(value)
        if isinstance(value, Prefix):
            return root._prefix(value)
        return self.constant(value, self._names.get(id(value), ""))

    def _iota(self, value: Iota) -> str:
        size = value.shape[value.axis]
        line = self.node(
            "Range", *[self.node("Squeeze", x) for x in (self.shape([0]), self.size(size), self.shape([1]))]
        )
        if value.step != 1:
            line = self.node(
                "Mul", self.node("Cast", line, to=self.type_of(value.dtype)), self.value(value.step, value.dtype)
            )
        elif value.dtype != np.int64:
            line = self.node("Cast", line, to=self.type_of(value.dtype))
        if value.start != 0:
            line = self.node("Add", line, self.value(value.start, value.dtype))
        shape = [-1 if axis == value.axis else 1 for axis in range(len(value.shape))]
        line = self.node("Reshape", line, self.constant(np.array(shape, np.int64)))
        return self.node("Expand", line, self.shape(value.shape))

    def _triangle(self, value: Triangle) -> str:
        rows, columns = value.shape[-2:]
        below = self._iota(Iota(value.k, 1, 0, (rows, 1), np.dtype(np.int64)))
        inside = self.node("LessOrEqual", self._iota(Iota(0, 1, 1, (1, columns), np.dtype(np.int64))), below)
        if value.dtype != np.bool_ or not value.low or value.high:
            inside = self.node("Where", inside, self.value(value.low, value.dtype), self.value(value.high, value.dtype))
        return self.node("Expand", inside, self.shape(value.shape))

    def _prefix(self, value: Prefix) -> str:
        zero = self.constant(np.array([0], np.int64))
        rows = self.node("Slice", self.constant(value.table), zero, self.size(value.shape[value.axis]), zero)
        return self.node("Reshape", rows, self.shape(value.shape))

    # ------------------------------------------------------------------------------------------------- sizes

    def sizes_of(self, var: Var) -> tuple[Any, ...]:
        """Return the shape of a variable."""
        return self._shapes[var]

    def reads(self, var: Var) -> int:
        """Return how often a variable is read."""
        return self._uses[var]

    def size(self, size: int | Size) -> str:
        """Return the name of a size, int64 of shape (1,); it is computed outside all loops."""
        root = self.root
        if not isinstance(size, Size):
            return root.constant(np.array([size], np.int64))
        if size not in root._sizes:
            terms = []
            for names, factor in size.terms:
                parts = [root._axis(name) for name in names]
                if factor != 1 or not parts:
                    parts.append(root.constant(np.array([factor], np.int64)))
                term = parts[0]
                for part in parts[1:]:
                    term = root.node("Mul", term, part)
                terms.append(term)
            total = terms[0]
            for term in terms[1:]:
                total = root.node("Add", total, term)
            root._sizes[size] = total
        return root._sizes[size]

    def _axis(self, name: str) -> str:
        if name not in self._sizes:
            source, axis = self.axes[name]
            self._sizes[name] = self.node("Shape", source, start=axis, end=axis + 1)
        return self._sizes[name]

    def affine(self, size: int | Size, factor: int, added: int) -> int | Size:
        """Return ``factor * size + added``."""
        if not isinstance(size, Size):
            return factor * size + added
        terms = {names: factor * by for names, by in size.terms}
        terms[()] = terms.get((), 0) + added
        return Size(tuple([(names, by) for names, by in terms.items() if by]))

    def shape(self, sizes: Sequence[Any]) -> str:
        """Return the name of a vector of sizes."""
        if not any(isinstance(size, Size) for size in sizes):
            return self.constant(np.array(sizes, np.int64))
        key = tuple(sizes)
        root = self.root
        if key not in root._sizes:
            parts = [root.size(size) for size in sizes]
            root._sizes[key] = parts[0] if len(parts) == 1 else root.node("Concat", *parts, axis=0)
        return root._sizes[key]

    def reshape(self, name: str, sizes: Sequence[Any]) -> str:
        """Reshape a value; one dynamic size needs no computation."""
        dynamic = [axis for axis, size in enumerate(sizes) if isinstance(size, Size)]
        if len(dynamic) == 1 and 0 not in sizes:
            return self.node(
                "Reshape", name, self.constant(np.array([-1 if isinstance(s, Size) else s for s in sizes]))
            )
        return self.node("Reshape", name, self.shape(sizes))

    # ------------------------------------------------------------------------------------------------- the whole

    def drop_unread(self) -> None:
        """Drop the constants that no node reads."""
        read = set(_read_names(self.nodes))
        declared = [name for name in self.initializers if name in read]
        self.initializers = {name: self.initializers[name] for name in declared}

    def drop_copies(self, outputs: Sequence[str]) -> None:
        """Let the node that computes an output have its name, in place of a copy, where nothing forbids it."""
        made = {name for node in self.nodes for name in node.output if node.op_type != "Identity"}
        new: dict[str, str] = {}
        for node in [node for node in self.nodes if node.op_type == "Identity" and node.output[0] in outputs]:
            if node.input[0] in made and node.input[0] not in new:
                new[node.input[0]] = node.output[0]
                self.nodes.remove(node)
        _rename(self.nodes, new)
        self.root.named.update({var: new[name] for var, name in self.root.named.items() if name in new})

    def graph(self, name: str, inputs: Sequence[Any], outputs: Sequence[Any]) -> Any:
        """Return the graph, with the constants if it is not a body."""
        constants = [*self.initializers.values()] if self.around is None else []
        return self._h.make_graph(self.nodes, name, inputs, outputs, initializer=constants)

    def info(self, name: str, var: Var) -> Any:
        """Return the declaration of a value."""
        sizes = [size if isinstance(size, int) else str(size) for size in self.sizes_of(var)]
        return self._h.make_tensor_value_info(name, self.type_of(var.dtype), sizes)


def _read_names(nodes: Iterable[Any]) -> Iterable[str]:
    for node in nodes:
        yield from node.input
        for attribute in node.attribute:
            if attribute.name == "body":
                yield from _read_names(attribute.g.node)


def _rename(nodes: Iterable[Any], new: Mapping[str, str]) -> None:
    for node in nodes:
        for names in (node.input, node.output):
            for at, name in enumerate(names):
                if name in new:
                    names[at] = new[name]
        for attribute in node.attribute:
            if attribute.name == "body":
                _rename(attribute.g.node, new)
