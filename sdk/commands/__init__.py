"""Subcommands that need no more than `sdk`: one module each."""
