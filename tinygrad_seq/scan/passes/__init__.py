"""Compiler passes: each file has one pass, a function from a step to a step or to its stages."""
