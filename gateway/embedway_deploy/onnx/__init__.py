"""An ONNX model in a conda environment of OCI Data Science, with a score.py of ours."""
