"""From a data set to batches: what is kept on the disk, in which order, by which threads."""
