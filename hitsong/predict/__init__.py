"""One audio file to its score."""
