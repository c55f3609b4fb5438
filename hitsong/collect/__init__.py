"""From a service, a data set or a table to tracks.parquet, and their previews to disk."""
