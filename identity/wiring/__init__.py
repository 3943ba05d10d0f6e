"""What the server is made of: the one place, with `app.py`, that knows every part."""
