"""The grants of the token endpoint: the phases they share, and one file for each."""
