"""Signing keys and refresh keys: their states, the rule by which they rotate, their files, and the signers made of them."""
