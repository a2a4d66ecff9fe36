"""`kubectl-kaito`: what a Workspace would cost and whether it fits, before anything is ordered, and why one is not ready.

Commands are in `app.py`. For `plan`, `asked.py` reads what the user wrote, `choices.py` asks the catalogue's sizing, `document.py` gives
the answer to programs and `page.py` to people; nothing is computed that the catalogue computes. `explain/` reads what there is of one
Workspace, once, through `cluster.py`, and explains it without concluding anything that the controller does not say. It needs the extra
`cli` of the package (click, rich), which the operators' image does not hold, and no operator imports it.
"""
