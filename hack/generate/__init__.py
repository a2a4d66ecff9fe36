"""Generators of the files under `config/` that follow from the code: CRDs, admission policy, catalogue ConfigMap.

`python -m hack.generate` writes them, `python -m hack.generate --check` fails when the tree differs.
"""
