"""The table of operations, generic over ndarrays, Tensors and Tracers; the README beside this file explains it."""
