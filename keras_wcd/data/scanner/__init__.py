"""Virtual scanners: what a camera, or a view point, sees of a mesh or a cloud."""
