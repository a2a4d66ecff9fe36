"""Where weights come from: a folder, the Hugging Face hub, or an OCI artifact."""
