"""Data sets: reading what lies on disk, and dividing it."""
