"""The same work done without Opitios, as fast as a person would write it by hand."""
