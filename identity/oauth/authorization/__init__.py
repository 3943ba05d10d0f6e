"""The authorization endpoint without HTTP: what a request asks for, whether it may, what is still missing, and codes."""
