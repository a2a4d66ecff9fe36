"""What only a GPU can show: weights of real shape, speed against plain `vllm serve`, and memory against the estimate."""
