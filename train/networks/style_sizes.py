"""Sizes of the style-transfer network; importing them costs nothing."""

DEFAULT_WIDTH, DEFAULT_BLOCKS = 16, 5
SMALLEST_PX = 16
"""Of a side: four cells are left in the middle of the network, enough to normalise over and to mirror."""
MULTIPLE_PX = 4
"""Of a side: it is halved twice."""
