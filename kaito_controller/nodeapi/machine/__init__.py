"""Nodes by `Machine` (`karpenter.sh/v1alpha5`): the contract of `gpu_provisioner.api`, kept by ours and by Azure's 0.2.x."""

from __future__ import annotations

from kaito_controller.nodeapi.machine.api import MachineApi

API = MachineApi()
