"""Clouds and meshes in files: one format a file, and the table of them."""
