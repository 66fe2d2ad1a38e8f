"""One file per kind of answer: how arrays become results."""
