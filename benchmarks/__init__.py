"""Measures what the server and the verifier cost, as ratios to something else measured in the same run on the same core."""
