"""From an audio file to arrays."""
