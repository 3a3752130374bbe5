"""The data sets, one a file, and the table of them."""
