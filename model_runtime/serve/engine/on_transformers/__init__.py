"""The engine for CPUs and GPUs that vLLM cannot use: Transformers with its continuous batching."""
