"""Gradio pages for artifacts, built from their specs alone. Needs the extra `demo`; no torch for `.onnx`."""
