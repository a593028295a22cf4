"""An Alpaca look-alike for newcomers and tests; shares no code with the gateway."""
