"""Minting: what an access token says, and what a refresh token is and how its family advances."""
