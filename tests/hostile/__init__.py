"""The hostile corpus (docs/hostile.md): one named test a row, many generated cases inside each."""
