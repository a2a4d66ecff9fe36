"""The rules of a Workspace, one module per part of the object; each is a generator of `Violation`."""
