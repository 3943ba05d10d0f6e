"""Registering clients: what one may say of itself (RFC 7591), and how one registers itself, within what it was invited to."""
