"""Gradio pages for artifacts, built from their specs alone. Needs the extra `demo`, and no torch for `.onnx`."""
