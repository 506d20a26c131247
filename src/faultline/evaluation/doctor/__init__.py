"""The doctor: what this machine offers, and what in a data set would poison a result."""
