"""The protocol: OAuth 2 as the RFCs have it, without HTTP, SQL or Redis. Stores are handed in."""
