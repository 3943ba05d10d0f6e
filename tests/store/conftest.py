"""The engines of `engines.py`, for the contract tests of this folder."""

from engines import database, own_valkey, redis, sql, valkey

__all__ = ["database", "own_valkey", "redis", "sql", "valkey"]
