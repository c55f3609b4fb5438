"""Architectures: the registry, one file per family of networks, heads, losses, layers."""
