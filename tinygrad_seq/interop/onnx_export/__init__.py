"""Models, layers, cells and steps as ONNX files: see README.md in the folder above."""
