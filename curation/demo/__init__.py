"""Demonstrates the method on one machine, on a procedural corpus whose right captions are known."""
