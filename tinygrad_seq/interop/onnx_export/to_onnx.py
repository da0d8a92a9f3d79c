"""`to_onnx`: a model, layer, cell or step as an ONNX file."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ...base.files import write_atomically
from ...base.tree import Tree
from ...errors import ArgumentError, IndexRangeError, ShapeError, VerificationError
from .dynamic_sizes import LARGE, SMALL, Samples
from .export_subject import Subject, subject_of
from .graph import Graph
from .merge import Merged, Trace, merge
from .write_equations import write_equations

OPSET, IR_VERSION = 18, 8
TOLERANCE, _LOW_TOLERANCE = 1e-5, 2e-2
_LARGE = 97


def to_onnx(
    model: Any,
    path: str | os.PathLike[str],
    inputs: Any = None,
    *,
    state: Callable[[int], Tree] | None = None,
    lengths: bool = False,
    step: bool = False,
    axes: Mapping[str, Sequence[str | None]] | None = None,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a model, a recurrent layer, a cell or a step as an ONNX file that onnxruntime runs without this package.

    The number of time steps T and the batch size N are free in the file. Layers of `nn.RNN`, `nn.GRU` and `nn.LSTM` are
    nodes of these names, any other cell is a ``Scan``, made from the trace that compiled code is made from: products
    that do not depend on the state stand before it. The file is run by onnxruntime on random inputs of several sizes
    and compared with the model before it is written, to 1e-5 (a quantised model to 2e-2), and in 97 steps unless
    rounding grows with them.

    Parameters
    ----------
    model : Module, Cell or function
        A model, of which the evaluation form is exported, without dropout, whatever its mode; a cell; or the step
        ``(carry, x) -> (carry, y)`` of `ts.scan`.
    path : path
        The file to write.
    inputs : array_like, tuple or dict of them, optional
        Examples of the inputs, by the names of the arguments of `forward` or in their order. Integers are taken to be
        all those that may occur. Recurrent layers whose input size is known need none.
    state : function, optional
        ``state(n)`` returns the initial state of n sequences, such as ``model.lstm.initial_state``: the state becomes
        an input, which need not be given, and an output. Layers and cells have their own.
    lengths : bool, default False
        Whether the lengths of the sequences, int64 (N,), are an input, passed on to `forward` as ``lengths=``.
    step : bool, default False
        Export one time step, for streaming: inputs and outputs have no axis of time.
    axes : dict, optional
        The names of the dynamic axes by input, None for an axis of fixed size: ``{"image": ("N", None, None)}``. By
        default the first two axes are ``("T", "N")``, or ``("N", "T")`` if the model is `batch_first`.
    metadata : dict of str, optional
        More entries for the file, such as a vocabulary.

    Raises
    ------
    ArgumentError, ShapeError, DtypeError
        If the arguments do not fit the model, or an operation cannot be exported: the message names it and its line.
    VerificationError
        If onnxruntime returns other numbers than the model. Nothing is written.
    CheckpointError
        If the file cannot be written.

    Examples
    --------
    >>> import os, tempfile, numpy as np, onnxruntime, tinygrad_seq as ts
    >>> layer = ts.nn.Recurrent(ts.nn.MGUCell(3, 5))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "mgu.onnx")
    ...     ts.interop.to_onnx(layer, path, lengths=True)
    ...     session = onnxruntime.InferenceSession(path)
    >>> xs = np.zeros((7, 2, 3), np.float32)
    >>> ys, state = session.run(["ys", "new_state"], {"xs": xs, "lengths": np.array([7, 4])})
    >>> ys.shape, state.shape
    ((7, 2, 5), (2, 5))
    """
    _require()
    if not isinstance(path, str | os.PathLike):
        raise ArgumentError(f"to_onnx: expected a path, got {path!r}; pass the name of a file.")
    if not all(isinstance(text, str) for pair in (metadata or {}).items() for text in pair):
        raise ArgumentError(f"to_onnx: expected metadata of str by str, got {metadata!r:.80}; convert it.")
    if state is not None and not callable(state):
        raise ArgumentError(
            f"to_onnx: expected state to be a function of the batch size, got {state!r:.80}; pass e.g. "
            "model.lstm.initial_state."
        )
    folder = os.path.dirname(os.path.abspath(os.fspath(path)))
    if not os.path.isdir(folder) or not os.access(folder, os.W_OK) or os.path.isdir(path):
        raise ArgumentError(
            f"to_onnx: expected a path that can be written, got {os.fspath(path)!r}; make its folder, or pass another."
        )
    subject = subject_of(model, inputs, state=state, lengths=lengths, step=step, axes=axes)
    data, lines = _serialised(subject, metadata or {})
    _compare(subject, data, lines)
    write_atomically(path, data, "to_onnx")


def _require() -> None:
    try:
        import onnx
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise ArgumentError(
            "to_onnx: expected the packages onnx and onnxruntime, which write and check the file, got "
            f"{error.name!r} missing; install them: pip install 'tinygrad-seq[onnx]'."
        ) from None
    del onnx


def _serialised(subject: Subject, metadata: Mapping[str, str]) -> tuple[bytes, dict[str, str]]:
    """Return the file of a subject, and the user's line of each node by its name."""
    import onnx
    from onnx import helper

    taken = set() if subject.module is None else {size for p in subject.module.parameters() for size in p.shape}
    taken |= {size for each in subject.inputs for size in each.shape if isinstance(size, int)}
    try:
        traces, merged = _traced(subject, Samples(subject.axes, taken, SMALL))
    except ArgumentError:  # a size of the model may be one of these by chance
        traces, merged = _traced(subject, Samples(subject.axes, taken, LARGE))
    names = {} if subject.module is None else {id(p._array): name for name, p in subject.module.named_parameters()}
    graph = Graph(merged.shapes, merged.constants, names, merged.uses)
    given, made = {each.name for each in subject.inputs}, set(traces[0].names)
    if not given.isdisjoint(made):
        raise ArgumentError(
            f"to_onnx: expected other names for the results than for the inputs, got {min(given & made)!r} twice; "
            "rename one."
        )
    graph.taken |= given | made
    declared = _write_inputs(graph, subject, merged.inputs)
    write_equations(graph, merged.eqns)
    outputs = []
    for name, var in zip(traces[0].names, merged.outputs, strict=True):
        graph.nodes.append(helper.make_node("Identity", [graph.name(var)], [name]))
        outputs.append(graph.info(name, var))
    graph.drop_copies([output.name for output in outputs])
    graph.drop_unread()
    model = helper.make_model(
        graph.graph(subject.name, declared, outputs),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="tinygrad_seq",
        producer_version=_version(),
    )
    helper.set_model_props(model, {"inputs": json.dumps([each.name for each in subject.inputs]), **metadata})
    try:
        onnx.checker.check_model(model)
        data = bytes(model.SerializeToString())
    except ValueError as error:  # protobuf: more than 2 GB
        raise ArgumentError(f"to_onnx: expected a model of less than 2 GB, got {error}; export its parts.") from error
    lines = traces[0].recorder.lines
    return data, {name: lines[var] for name, var in graph.origins.items() if var in lines}


def _traced(subject: Subject, samples: Samples) -> tuple[list[Trace], Merged]:
    traces = [subject.trace(point) for point in samples.points]
    return traces, merge(traces, samples)


def _version() -> str:
    try:
        return importlib.metadata.version("tinygrad-seq")
    except importlib.metadata.PackageNotFoundError:  # run from a copy of the source
        return "unknown"


def _write_inputs(graph: Graph, subject: Subject, inputs: Sequence[Any]) -> list[Any]:
    """Declare the inputs; return their declarations. One with a default is repeated along the batch."""
    declared = []
    for each, var in zip(subject.inputs, inputs, strict=True):
        graph.named[var] = each.name
        if not each.is_state:
            declared.append(graph.info(each.name, var))
            for axis, size in enumerate(each.shape):
                if isinstance(size, str):
                    graph.axes.setdefault(size, (each.name, axis))
    for each, var in zip(subject.inputs, inputs, strict=True):
        if each.is_state:
            from onnx import helper, numpy_helper

            shape = [f"{size} or 1" if isinstance(size, str) else size for size in each.shape]
            declared.append(helper.make_tensor_value_info(each.name, graph.type_of(each.dtype), shape))
            graph.initializers[each.name] = numpy_helper.from_array(each.default, each.name)
            graph.named[var] = graph.node("Expand", each.name, graph.shape(graph.sizes_of(var)))
    return declared


# ------------------------------------------------------------------------------------------------------- checking


def session_of(data: bytes | str | os.PathLike[str], threads: int = 1) -> Any:
    """Return a session of onnxruntime for a file, on one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = threads
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def _compare(subject: Subject, data: bytes, lines: Mapping[str, str]) -> None:
    """Raise if onnxruntime returns other numbers than the model, for random inputs of several sizes."""
    try:
        session = session_of(data)
    except Exception as error:
        node = re.search(r"node with name '([^']*)'", str(error))
        line = "" if node is None else f" (at {lines.get(node[1], 'a loop')})"
        raise ArgumentError(
            f"to_onnx: expected operations that onnxruntime has for these dtypes, got: {_short(error)}{line}; use "
            "float32 and int64, or write it with other operations."
        ) from error
    names = [output.name for output in session.get_outputs()]
    low = subject.module is not None and any(module._precision != "float32" for module in subject.module.modules())
    for sizes, given, expected, slack in _cases(subject, np.random.default_rng(0)):
        try:
            found = dict(zip(names, session.run(names, given), strict=True))
        except Exception as error:
            raise VerificationError(
                f"to_onnx: expected onnxruntime to run the exported {subject.name} at {sizes}, got: {_short(error)}; "
                "nothing was written. Please report it with the model."
            ) from error
        for name, array in expected.items():
            tolerance = (_LOW_TOLERANCE if low else TOLERANCE) * (1 + np.abs(array.astype(np.float64)))
            _check(f"{name!r} of the exported {subject.name}", sizes, array, found[name], tolerance + slack[name])


Arrays = dict[str, np.ndarray]


def _cases(subject: Subject, rng: np.random.Generator) -> Iterator[tuple[dict[str, int], Arrays, Arrays, Any]]:
    """Yield sizes, inputs, the results of the model, and by how much more than the tolerance each may differ."""
    for number in range(3):
        count = max(len(subject.axes), 2)  # the sizes of the traces and `_LARGE` are odd: 1, then even ones
        sizes = {name: 4 + 2 * ((k + number) % count) if number else 1 for k, name in enumerate(subject.axes)}
        given = subject.draw(sizes, rng)
        if number:
            reached = subject.run(given)  # a state that occurs
            given |= {each.name: reached[f"new_{each.name}"] for each in subject.inputs if each.is_state}
        expected, moves = _run_and_move(subject, given, rng)
        if not number:  # from the initial state of the file
            given = {each.name: given[each.name] for each in subject.inputs if not each.is_state}
        yield sizes, given, expected, {name: 10 * move for name, move in moves.items()}
    for large in subject.axes:  # what a model does from some size on only
        sizes = dict.fromkeys(subject.axes, 3) | {large: _LARGE}
        given = subject.draw(sizes, rng)
        try:
            expected, moves = _run_and_move(subject, given, rng)
        except (ShapeError, IndexRangeError):
            continue  # it has a greatest size, as a table of positions has
        rough = any(x.dtype.kind == "f" for x in given.values())
        yield sizes, given, expected, {name: 1e-2 + 1e4 * x if rough else np.inf for name, x in moves.items()}


def _run_and_move(subject: Subject, given: Arrays, rng: np.random.Generator) -> tuple[Arrays, Arrays]:
    """Return the results for some inputs, and how far they move if the inputs do by as much as rounding.

    In a chaotic model rounding grows from step to step, as other small changes do.
    """
    moved = {
        name: x * (1 + 1e-7 * rng.standard_normal(x.shape)).astype(x.dtype) if x.dtype.kind == "f" else x
        for name, x in given.items()
    }
    expected, other = subject.run(given), subject.run(moved)
    with np.errstate(invalid="ignore"):
        moves = {name: np.abs(other[name].astype(np.float64) - x) for name, x in expected.items()}
    return expected, {name: np.nan_to_num(move).max(initial=0) for name, move in moves.items()}


def _check(what: str, sizes: Mapping[str, int], expected: np.ndarray, found: np.ndarray, tolerance: Any) -> None:
    alike = (expected.shape, expected.dtype) == (found.shape, found.dtype)
    with np.errstate(invalid="ignore"):
        gaps = np.abs(found.astype(np.float64) - expected) if alike else np.array(np.inf)
        same = gaps <= tolerance if alike else np.array(False)
    if alike:
        same |= (found == expected) | ((found != found) & (expected != expected))
    if not same.all():
        gap = f", difference {gaps.max():.3g}" if alike else ""
        raise VerificationError(
            f"to_onnx: expected {what} as of the model, to {TOLERANCE}, at {sizes}, got {found.shape} {found.dtype} "
            f"for {expected.shape} {expected.dtype}{gap}; nothing was written."
        )


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
