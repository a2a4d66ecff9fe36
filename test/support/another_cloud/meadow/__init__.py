"""The meadow: machines that graze in a folder."""
