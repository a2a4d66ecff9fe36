"""Engines that generate text, behind one port (`base.Engine`)."""
