"""Settings of `gpu-provisioner`."""
