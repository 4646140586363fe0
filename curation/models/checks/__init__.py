"""The tests that a model must pass before it is used in a run, by its part."""
