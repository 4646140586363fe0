"""The run's page: one HTML file, made from the run's folder alone, that opens anywhere."""
