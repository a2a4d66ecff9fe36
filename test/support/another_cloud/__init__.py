"""A cloud that does not exist, as somebody who brings one would write it: the folder `meadow` is all of it."""
