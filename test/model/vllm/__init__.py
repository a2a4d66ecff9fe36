"""The vLLM engine with vLLM itself: its build for CPUs serves a tiny model, and the image's version reads our arguments."""
