"""Which classes serve pictures of one label, and which those of any number: a module for each half, so
that what reads imports nothing that trains."""
