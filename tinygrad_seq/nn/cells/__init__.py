"""Recurrent cells, one file per family, each written as its forward pass."""
