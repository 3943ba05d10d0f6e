"""An identity server for microservices: one issuer, and verifiers that need nobody to check a token."""
