"""Long runs that try to lose or double an order; each has a short case in `make test`."""
