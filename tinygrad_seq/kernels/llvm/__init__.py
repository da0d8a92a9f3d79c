"""LLVM code from Numba: vector instructions, inlined scalar functions, array access, a fast front end."""
