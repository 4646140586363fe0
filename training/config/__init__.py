"""The settings of trainings as typed data; no I/O beyond reading the file itself."""
