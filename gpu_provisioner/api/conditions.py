"""Condition types of a Machine, as karpenter's v1alpha5 API names them.

Three dependents and one summary. Consumers read three things: `MachineInitialized` is False (or no condition exists at all) while
a Machine is on its way, `Ready` is True only while its Node is usable, and `MachineLaunched` False tells why the cloud refused.
"""

from __future__ import annotations

LAUNCHED = "MachineLaunched"
REGISTERED = "MachineRegistered"
INITIALIZED = "MachineInitialized"
READY = "Ready"

DEPENDENTS = (LAUNCHED, REGISTERED, INITIALIZED)
"""In the order in which a Machine passes them."""

CONDITION_TYPES = tuple(sorted((*DEPENDENTS, READY)))
"""In the order in which they are stored: sorted by name, as knative's condition set does."""

TRUE = "True"
FALSE = "False"
UNKNOWN = "Unknown"

MESSAGE_LIMIT = 800
"""Longest condition message in characters; of a longer one the sentence that tells is kept (`wording.py`)."""

ALL_TYPES_UNAVAILABLE = "all requested instance types were unavailable during launch"
"""KAITO 0.3.x stops waiting when MachineLaunched is False with exactly this message one second after the create."""
