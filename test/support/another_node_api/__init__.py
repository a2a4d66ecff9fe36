"""A node API that does not exist, as a person who follows `docs/node-apis.md` would bring it: one folder."""
