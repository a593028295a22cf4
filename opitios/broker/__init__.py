"""The harbour: the only room that opens a connection to a broker."""
