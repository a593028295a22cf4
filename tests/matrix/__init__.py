"""The failure matrix, row by row, with real faults (docs/failure-matrix.md)."""
