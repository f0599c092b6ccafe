"""ONNX models against onnxruntime."""
