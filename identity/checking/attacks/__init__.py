"""The attacks: one small pure function each, in the file of what it attacks, and one table of all of them."""
