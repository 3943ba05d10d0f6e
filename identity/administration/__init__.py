"""What an operator can do, once: the command line calls it today, and every other way in will call the same.

Each function is one transaction with its audit event and the revocation rules that follow from it; when it returns, the
rules are on their way to every server and verifier.
"""
