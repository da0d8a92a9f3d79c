"""Compiled loops on raw ndarrays. Kernels never see a Tensor and check nothing; their callers do."""
