"""The report of a run: one HTML file, made from the run's folder alone, that opens anywhere."""
