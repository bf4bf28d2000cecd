"""Packages: what one holds, whether it is what was packaged, whose code it may name."""
