"""The public functions: those of `ops`, which here take plain data too and always give Tensors.

Names are those of the Python array API standard; NumPy's and PyTorch's usual spellings stand beside them. The functions
come from the table of operations; `functional.pyi` lists them for type checkers and editors.
"""

from .autograd.lifting import public_functions

globals().update(public_functions())
__all__ = list(public_functions())
