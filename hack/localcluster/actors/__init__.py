"""The inhabitants of localcluster; see `actors.Actors`."""
