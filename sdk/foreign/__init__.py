"""Models that other tools wrote: what they say of themselves, and a contract for them."""
