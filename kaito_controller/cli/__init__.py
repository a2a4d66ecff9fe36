"""`kubectl-kaito`: what a Workspace would cost and whether it fits, before anything is ordered.

Commands are in `app.py`; `asked.py` reads what the user wrote, `choices.py` asks the catalogue's sizing, `document.py` gives the answer
to programs and `page.py` to people. Nothing is computed here that the catalogue computes. It needs the extra `cli` of the package
(click, rich), which the operators' image does not hold, and no operator imports it.
"""
