"""The tests that a model must pass before a run rests on it, by the part that it plays."""
