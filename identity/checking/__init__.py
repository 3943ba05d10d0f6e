"""Attacks on a running service that takes access tokens, written in any language: what it accepts that it should not.

This package owns the table of attacks, the checks that need several steps, and the judgement of what the service answered.
Tokens come from the throw-away issuer of `identity.testing`, which the service must be told to trust.
"""
