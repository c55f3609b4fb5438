"""Predicts how popular a track may become from how it sounds."""

__version__ = "0.1.0"
