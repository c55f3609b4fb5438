"""Recipes, fits that survive interruption, and the bundles that they leave."""
