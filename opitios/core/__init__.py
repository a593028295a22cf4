"""The floor every room stands on: settings, errors, HTTP rules, bus, logs. It imports no room."""
