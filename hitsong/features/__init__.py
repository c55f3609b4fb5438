"""What models hear: features of a clip, and the store that holds them."""
