"""LoRA adapters: finding, checking, combining and pulling them."""
