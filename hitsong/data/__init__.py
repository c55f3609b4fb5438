"""Which tracks, which side of the split, which target, which inputs."""
