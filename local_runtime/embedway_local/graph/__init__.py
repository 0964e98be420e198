"""ONNX graphs built for inference from a checkpoint's weights, without PyTorch."""
