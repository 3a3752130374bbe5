"""A folder of meshes as pairs: which meshes can be used, in which split each lies, the files."""
