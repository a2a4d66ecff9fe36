"""`kubectl kaito doctor`: what of an installation is as it should be, and the cure of what is not.

`finding.py` is what a check says, `checks.py` the checks of the API and of the operators, `surroundings.py` those of the cluster around
them, `bundle.py` the archive for a bug report, from which `redaction.py` takes what nobody else should read. Nothing is changed in the
cluster, and no Secret is read.
"""
