"""Writing text with a language model: the loop, in numpy, over the graphs of any runtime."""
