"""Revocation, as the issuer sees it: rules in one order, written to SQL first and Redis second, and known by every process.

`ledger` writes, `follower` reads and repairs, `picture` is what a process knows. `verifier/revocations.py` is the other end.
"""
