"""Artifacts behind HTTP: micro-batches over a bounded queue, versions that change without a lost request."""
