"""Quantisation of ONNX graphs: an fp32 model goes in as bytes, a model with small integers comes out."""
