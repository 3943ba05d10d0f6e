"""Requests that the server itself makes, to addresses that clients registered (A15). Whoever registers an address chooses where
this server knocks: nothing is asked before it is sure that the door is not one of our own house."""
