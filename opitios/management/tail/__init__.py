"""`manage.py tail`: the stream of a gateway on a terminal or in a pipe, as any client has it."""
