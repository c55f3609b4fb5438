"""Explanations: which parts of a track, and which of its features, a score depends on."""
