"""A small separate service that trusts the identity server: it imports `identity.verifier` and FastAPI, nothing else."""
