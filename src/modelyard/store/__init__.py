"""Folders that appear whole or not at all, with sums and lineage; tables on disk."""
