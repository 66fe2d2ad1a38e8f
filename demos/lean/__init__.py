"""The Predictor beside code written by hand for the same model: what `demos.lean_predictor` runs."""
