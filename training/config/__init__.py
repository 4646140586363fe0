"""The YAML of trainings as typed data, and the reader of the file."""
