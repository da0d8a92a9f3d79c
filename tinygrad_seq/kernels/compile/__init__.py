"""Kernels generated at run time, and the cache folder that holds them."""
