"""The prediction log: serving writes it, drift reads it."""
