"""Containers that run instead of being played: programs of images whose files are on this machine, as child processes."""
