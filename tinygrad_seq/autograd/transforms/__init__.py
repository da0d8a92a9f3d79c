"""Transforms of functions: `grad`, `vjp`, `jvp`, `hvp`, `jacobian`, `hessian`, `custom_gradient`, `checkpoint`."""
