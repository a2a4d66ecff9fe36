"""The trainer: LoRA and QLoRA from the training configuration of KAITO 0.3."""
