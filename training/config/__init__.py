"""The YAML of trainings as typed data, and its reader."""
