"""One file per input or output kind: what of it the graph can do."""
