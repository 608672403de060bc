"""What there is after a fit: the model behind arrays, files, ONNX."""
