"""One file per modality: how an item becomes arrays."""
