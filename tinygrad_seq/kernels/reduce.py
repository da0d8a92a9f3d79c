"""Sums inside generated loops."""

from __future__ import annotations

from numba.extending import intrinsic

_ANY_ORDER = ("contract", "nsz", "reassoc")


@intrinsic  # type: ignore[untyped-decorator, unused-ignore]
def add(typing, total, x):  # type: ignore[no-untyped-def]  # noqa: ARG001
    """Return ``total + x`` for two floats of one type; LLVM may reorder the additions to vectorise the loop."""

    def generate(context, builder, signature, values):  # type: ignore[no-untyped-def]  # noqa: ARG001
        return builder.fadd(*values, flags=_ANY_ORDER)

    return total(total, x), generate
