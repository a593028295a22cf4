"""Figures against rivals: `make bench`. README.md says what is measured, and how."""
