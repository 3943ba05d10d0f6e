"""The command line: thin over administration."""
