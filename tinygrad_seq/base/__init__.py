"""Settings, switches, locks, files and trees: what every other folder uses, and nothing about tensors."""
