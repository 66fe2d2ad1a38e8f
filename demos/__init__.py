"""What a newcomer runs first: the quickstart and its report."""
