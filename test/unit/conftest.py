"""Drawn examples have no deadline: how long one takes on a busy machine says nothing about the code."""

from __future__ import annotations

import hypothesis

hypothesis.settings.register_profile("unhurried", deadline=None)
hypothesis.settings.load_profile("unhurried")
