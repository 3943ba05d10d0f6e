"""Where things are kept: SQL, Redis, and the private Valkey of the embedded default."""
