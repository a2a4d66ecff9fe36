"""The same holds here as for the provisioner's other worlds."""

from test.faults.gpu_provisioner.conftest import every_rule_held_at_every_write, quiet

__all__ = ["every_rule_held_at_every_write", "quiet"]
