"""Fitted models: behind arrays, in files, as ONNX graphs."""
