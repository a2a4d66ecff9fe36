"""Settings of `kaito-controller`."""
