"""A front end for generated source: one walk over its syntax tree emits LLVM code, ten times as fast as Numba's.

    text ──ast──► for each node: its type and value, from Numba's tables ──► LLVM ──► Numba's back end

Numba reads bytecode and infers types by iterating to a fixed point: half a millisecond per operation. Source from
`scan/codegen` does not need that, because every name has a type before its first use. Types are found during the walk,
and Numba's tables give the meaning of ``float32 + float32`` or of a kernel call once per kernel.

The language: names, numbers, operators, comparisons, ``a if b else c``, calls, ``x[i]``, ``x.size``; assignments, `for`
over `range` or `elements`, ``if`` without ``else``. A name that a loop reads before assigning it keeps its type there.
"""

from __future__ import annotations

import ast
import builtins
import operator
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils, compiler, errors
from numba.core.bytecode import FunctionIdentity
from numba.core.codegen import JITCodeLibrary
from numba.core.environment import Environment
from numba.core.funcdesc import PythonFunctionDescriptor
from numba.core.targetconfig import ConfigStack
from numba.core.typing import signature
from numba.extending import _Intrinsic

from .address import load_element, room
from .simd import advise, elements, spans

_OPERATORS: dict[type, Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.BitXor: operator.xor,
    ast.LShift: operator.lshift,
    ast.RShift: operator.rshift,
    ast.USub: operator.neg,
    ast.Invert: operator.invert,
    ast.Not: operator.not_,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


class Translated(compiler.CompilerBase):  # type: ignore[misc]
    """The ``pipeline_class`` of a dispatcher whose function holds its source in ``__source__``."""

    def compile_extra(self, func: Any) -> Any:
        """Return the compiled function, as Numba's own pipeline would."""
        state = self.state
        flags, context, identity = state.flags, state.targetctx, FunctionIdentity.from_function(func)
        descriptor = PythonFunctionDescriptor(
            True, func.__module__, identity.func_qualname, identity.unique_name, "", {}, types.void, {},
            identity.arg_names, (), context.mangler, tuple(state.args), abi_tags=[flags.get_mangle_string()],
            uid=identity.unique_id,
        )  # fmt: skip
        environment = Environment.from_fndesc(descriptor)
        library = _Library(context.codegen(), identity.func_qualname)
        library.enable_object_caching()
        with ConfigStack().enter(flags.copy()), context.push_code_library(library):
            module = library.create_ir_module(descriptor.unique_name)
            context.declare_env_global(module, context.get_env_name(descriptor))
            helper = _Walk(state.typingctx, context, module, descriptor, func).write()
            context.post_lowering(module, library)
            library.add_ir_module(module)
            context.create_cpython_wrapper(library, descriptor, environment, helper, release_gil=flags.release_gil)
            entry = context.get_executable(library, descriptor, environment)
        return compiler.compile_result(
            typing_context=state.typingctx,
            target_context=context,
            entry_point=entry,
            typing_error=None,
            type_annotation=None,
            library=library,
            call_helper=helper,
            signature=signature(types.void, *state.args),
            objectmode=False,
            lifted=(),
            fndesc=descriptor,
            environment=environment,
            metadata=state.metadata,
            reload_init=[],
        )


class _Library(JITCodeLibrary):  # type: ignore[misc]
    """Code that is optimised once. Numba runs a second pass to remove reference counts; here there are none."""

    def _optimize_final_module(self) -> None:
        passes, builder = self._codegen._module_pass_manager()
        passes.run(self._final_module, builder)


class _Value(NamedTuple):
    kind: Any
    code: Any


class _Name(NamedTuple):
    """The meaning of a name: a value, or with `place` the memory that holds it."""

    kind: Any
    code: Any
    place: bool


class _Scope(NamedTuple):
    """A loop or branch: the names defined before it, and those that it has read."""

    before: dict[str, _Name]
    read: set[str]


class _Walk(ast.NodeVisitor):
    """Emits one function; `names` holds the names assigned so far."""

    def __init__(self, typing: Any, context: Any, module: Any, descriptor: Any, function: Any) -> None:
        self.typing, self.context = typing, context
        self.globals = {**vars(builtins), **function.__globals__}
        tree = ast.parse(function.__source__)
        (self.tree,) = (x for x in tree.body if isinstance(x, ast.FunctionDef) and x.name == function.__code__.co_name)
        self.lines = function.__source__.splitlines()
        written = (x.id for x in ast.walk(self.tree) if isinstance(x, ast.Name) and isinstance(x.ctx, ast.Store))
        self.again = {name for name, count in Counter([*descriptor.args, *written]).items() if count > 1}
        again = (x.target for x in ast.walk(self.tree) if isinstance(x, ast.AugAssign))
        self.again |= {x.id for x in again if isinstance(x, ast.Name)}
        self.names: dict[str, _Name] = {}
        self.places: dict[tuple[str, Any], Any] = {}
        self.known: dict[tuple[Any, ...], tuple[Any, Any]] = {}
        self.owned: list[_Value] = []
        self.scopes: list[_Scope] = []
        llvm_function = context.declare_function(module, descriptor)
        self.builder = ir.IRBuilder(llvm_function.append_basic_block("entry"))
        self.helper = context.call_conv.init_call_helper(self.builder)
        given = context.call_conv.decode_arguments(self.builder, descriptor.argtypes, llvm_function)
        for name, kind, code in zip(descriptor.args, descriptor.argtypes, given, strict=True):
            self.set(name, _Value(kind, code))

    def write(self) -> Any:
        """Emit the function; return Numba's helper for its calls."""
        self.block(self.tree.body)
        for array in self.owned:
            self.context.nrt.decref(self.builder, *array)
        self.context.call_conv.return_value(self.builder, self.context.get_dummy_value())
        return self.helper

    # ------------------------------------------------------------------------------------------------- statements

    def block(self, statements: list[ast.stmt]) -> None:
        for statement in statements:
            try:
                self.visit(statement)
            except errors.NumbaError as error:
                if not error.contexts:
                    error.add_context(f"line {statement.lineno}: {self.lines[statement.lineno - 1].strip()}")
                raise

    def inner_block(self, statements: list[ast.stmt], own: dict[str, _Name]) -> None:
        """Emit a block that may run many times or never; a name whose type it changes is undefined afterwards."""
        before = self.names
        self.names = before | own
        self.scopes.append(_Scope(self.names.copy(), set()))
        self.block(statements)
        self.scopes.pop()
        kept = (
            (name, known) for name, known in self.names.items() if name in before and known.kind == before[name].kind
        )
        self.names = dict(kept)

    def generic_visit(self, node: ast.AST) -> NoReturn:
        raise errors.UnsupportedError(
            f"load: expected the language of generated kernels, got {type(node).__name__}: {ast.unparse(node)}; "
            "use the constructs listed in kernels/llvm/translate.py."
        )

    def visit_Expr(self, node: ast.Expr) -> None:
        self.value(node.value)

    def visit_Assign(self, node: ast.Assign) -> None:
        value = self.value(node.value)
        for target in node.targets:
            self.assign(target, value)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        target = node.target
        if isinstance(target, ast.Subscript):
            array, index = self.value(target.value), self.value(target.slice)
            now = self.call(operator.getitem, array, index)
            self.call(operator.setitem, array, index, self.call(_OPERATORS[type(node.op)], now, self.value(node.value)))
        elif isinstance(target, ast.Name):
            now = self.value(ast.Name(target.id, ast.Load()))
            self.set(target.id, self.cast(self.call(_OPERATORS[type(node.op)], now, self.value(node.value)), now.kind))
        else:
            self.generic_visit(node)

    def visit_For(self, node: ast.For) -> None:
        call, target = node.iter, node.target
        if node.orelse or not (isinstance(call, ast.Call) and isinstance(target, ast.Name)) or len(call.args) > 2:
            self.generic_visit(node)
        function = self.constant(call.func)
        if function is not range and function is not elements:
            self.generic_visit(node)
        ends = [self.value(end) for end in call.args]
        kind = types.unliteral(ends[-1].kind)
        *first, last = [self.cast(end, kind).code for end in ends]
        found = spans(self.builder, last) if function is elements else [(first[0] if first else last.type(0), last, {})]
        for span in found:
            self.loop(node.body, target.id, kind, *span)

    def loop(self, body: list[ast.stmt], name: str, kind: Any, first: Any, last: Any, advice: dict[str, int]) -> None:
        builder = self.builder
        before, head, turn, after = builder.block, *(builder.append_basic_block(n) for n in ("head", "body", "after"))
        builder.branch(head)
        builder.position_at_end(head)
        position = builder.phi(last.type)
        position.add_incoming(first, before)
        compare = builder.icmp_signed if kind.signed else builder.icmp_unsigned
        builder.cbranch(compare("<", position, last), turn, after)
        builder.position_at_end(turn)
        self.inner_block(body, {name: _Name(kind, position, False)})
        position.add_incoming(builder.add(position, last.type(1)), builder.block)
        advise(builder.branch(head), advice)
        builder.position_at_end(after)

    def visit_If(self, node: ast.If) -> None:
        if node.orelse:
            self.generic_visit(node)
        with self.builder.if_then(self.truth(node.test)):
            self.inner_block(node.body, {})

    def assign(self, target: ast.expr, value: _Value) -> None:
        if isinstance(target, ast.Name):
            self.set(target.id, value)
        elif isinstance(target, ast.Subscript):
            self.call(operator.setitem, self.value(target.value), self.value(target.slice), value)
        else:
            self.generic_visit(target)

    def set(self, name: str, value: _Value) -> None:
        kind = types.unliteral(value.kind)
        if name not in self.again:
            self.names[name] = _Name(kind, value.code, False)
            return
        known = self.names.get(name)
        if known is not None and known.kind != kind and any(name in scope.read for scope in self.scopes):
            raise errors.TypingError(f"'{name}' is {known.kind} before the loop and {kind} in it")
        place = self.places.get((name, kind))
        if place is None:
            place = self.places[name, kind] = cgutils.alloca_once(self.builder, value.code.type, name=name)
        self.builder.store(value.code, place)
        if known is None or known.kind != kind:
            self.names[name] = _Name(kind, place, True)

    # ------------------------------------------------------------------------------------------------ expressions

    def value(self, node: ast.expr) -> _Value:
        return self.visit(node)  # type: ignore[no-any-return]

    def visit_Constant(self, node: ast.Constant) -> _Value:
        kind = types.literal(node.value) if isinstance(node.value, int) else types.float64
        return _Value(kind, self.context.get_constant_generic(self.builder, types.unliteral(kind), node.value))

    def visit_Name(self, node: ast.Name) -> _Value:
        known = self.names.get(node.id)
        if known is None:
            return self.known_before(self.constant(node))
        for scope in self.scopes:
            if scope.before.get(node.id) is known:
                scope.read.add(node.id)
        return _Value(known.kind, self.builder.load(known.code) if known.place else known.code)

    def constant(self, node: ast.expr) -> Any:
        """Return the Python object of an expression that does not depend on run-time values."""
        if isinstance(node, ast.Name) and node.id in self.globals:
            return self.globals[node.id]
        if isinstance(node, ast.Attribute):
            return getattr(self.constant(node.value), node.attr)
        raise errors.TypingError(f"the name '{ast.unparse(node)}' is not known")

    def known_before(self, thing: Any) -> _Value:
        kind = self.typing.resolve_value_type(thing)
        if isinstance(kind, types.Number | types.Boolean):
            return _Value(kind, self.context.get_constant_generic(self.builder, kind, thing))
        return _Value(kind, self.context.get_dummy_value())

    def visit_Attribute(self, node: ast.Attribute) -> _Value:
        if not (isinstance(node.value, ast.Name) and node.value.id in self.names):
            return self.known_before(self.constant(node))
        owner = self.value(node.value)
        kind = self.typing.resolve_getattr(owner.kind, node.attr)
        if kind is None:
            raise errors.TypingError(f"{owner.kind} has no attribute '{node.attr}'")
        write = self.context.get_getattr(owner.kind, node.attr)
        return _Value(kind, write(self.context, self.builder, owner.kind, owner.code, node.attr))

    def visit_UnaryOp(self, node: ast.UnaryOp) -> _Value:
        return self.call(_OPERATORS[type(node.op)], self.value(node.operand))

    def visit_BinOp(self, node: ast.BinOp) -> _Value:
        return self.call(_OPERATORS[type(node.op)], self.value(node.left), self.value(node.right))

    def visit_Compare(self, node: ast.Compare) -> _Value:
        if len(node.ops) > 1 or type(node.ops[0]) not in _OPERATORS:
            self.generic_visit(node)
        return self.call(_OPERATORS[type(node.ops[0])], self.value(node.left), self.value(node.comparators[0]))

    def visit_BoolOp(self, node: ast.BoolOp) -> _Value:
        first, *others = node.values
        if not others:
            return self.cast(self.value(first), types.boolean)
        rest = ast.BoolOp(node.op, others)
        ways = (ast.Constant(True), rest) if isinstance(node.op, ast.Or) else (rest, ast.Constant(False))
        return self.visit_IfExp(ast.IfExp(first, *ways))

    def visit_IfExp(self, node: ast.IfExp) -> _Value:
        builder = self.builder
        first, second, end = (builder.append_basic_block(name) for name in ("yes", "no", "either"))
        builder.cbranch(self.truth(node.test), first, second)
        found = []
        for block, way in ((first, node.body), (second, node.orelse)):
            builder.position_at_end(block)
            found.append((self.value(way), builder.block))
        kind = self.typing.unify_types(*[types.unliteral(value.kind) for value, _ in found])
        ready = []
        for value, block in found:
            builder.position_at_end(block)
            ready.append((self.cast(value, kind).code, builder.block))
            builder.branch(end)
        builder.position_at_end(end)
        result = builder.phi(ready[0][0].type)
        for code, block in ready:
            result.add_incoming(code, block)
        return _Value(kind, result)

    def visit_Subscript(self, node: ast.Subscript) -> _Value:
        array, index = self.value(node.value), self.value(node.slice)
        if not isinstance(index.kind, types.IntegerLiteral):
            return self.call(operator.getitem, array, index)
        return _Value(array.kind.dtype, load_element(self.context, self.builder, array.kind, array.code, index.code)[0])

    def visit_Call(self, node: ast.Call) -> _Value:
        if node.keywords:
            self.generic_visit(node)
        function = self.constant(node.func)
        if isinstance(function, type) and issubclass(function, np.generic) and isinstance(node.args[0], ast.Constant):
            number = function(node.args[0].value)
            kind = self.typing.resolve_value_type(number)
            return _Value(kind, self.context.get_constant_generic(self.builder, kind, number))
        operands = [self.value(operand) for operand in node.args]
        if isinstance(function, _Intrinsic):
            kind, write = function._defn(self.typing, *[operand.kind for operand in operands])
            codes = [self.cast(operand, wanted).code for operand, wanted in zip(operands, kind.args, strict=True)]
            found = _Value(kind.return_type, write(self.context, self.builder, kind, codes))
            if function is room:
                self.owned.append(found)
            return found
        return self.call(function, *operands)

    # ------------------------------------------------------------------------------------------------------ parts

    def truth(self, node: ast.expr) -> Any:
        return self.cast(self.value(node), types.boolean).code

    def cast(self, value: _Value, kind: Any) -> _Value:
        if value.kind == kind or types.unliteral(value.kind) == kind:
            return _Value(kind, value.code)
        return _Value(kind, self.context.cast(self.builder, value.code, types.unliteral(value.kind), kind))

    def call(self, function: Any, *operands: _Value) -> _Value:
        """Emit a call by Numba's rules and return its value."""
        kinds = tuple([types.unliteral(operand.kind) for operand in operands])
        if (function, kinds) not in self.known:
            callee = function if isinstance(function, types.Type) else self.typing.resolve_value_type(function)
            found = self.typing.resolve_function_type(callee, kinds, {})
            if found is None:
                raise errors.TypingError(f"no {function} of {', '.join(map(str, kinds))}")
            self.known[function, kinds] = found, self.context.get_function(callee, found)
        found, write = self.known[function, kinds]
        if found.args and isinstance(found.args[-1], types.StarArgTuple | types.StarArgUniTuple):
            single, packed = len(found.args) - 1, found.args[-1]
            codes = [self.cast(*pair).code for pair in zip(operands[single:], packed, strict=True)]
            together = self.context.make_tuple(self.builder, packed, codes)
            operands = *operands[:single], _Value(packed, together)
        codes = [self.cast(*pair).code for pair in zip(operands, found.args, strict=True)]
        return _Value(found.return_type, write(self.builder, codes))
