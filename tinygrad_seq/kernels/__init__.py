"""Compiled loops on raw ndarrays: they never see a Tensor, and check nothing; their callers do."""
