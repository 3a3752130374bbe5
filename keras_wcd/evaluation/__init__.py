"""Networks measured on data sets: figures of every sample, tables, pictures, and the published table beside them."""
