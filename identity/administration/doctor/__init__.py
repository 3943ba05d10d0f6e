"""Looking at everything an installation stands on: `examination` is the list of checks, the files beside it make them."""
