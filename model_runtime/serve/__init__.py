"""The model server: start-up, engines, HTTP routes, metrics, shutdown."""
