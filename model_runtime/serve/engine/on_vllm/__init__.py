"""The engine for current GPUs: vLLM's own server, started with arguments made from our settings."""
