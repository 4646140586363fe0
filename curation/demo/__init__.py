"""Demonstrates the method on one machine, over a procedural corpus with exact truth."""
