"""`make demo-model`: the story of the demo with the real server, the real trainer and a real small chat model."""
