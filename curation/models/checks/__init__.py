"""The tests that each model must pass before it is used in a run, grouped by part."""
