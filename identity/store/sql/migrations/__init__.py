"""Alembic's scripts: one file for each step from one shape of the tables to the next."""
