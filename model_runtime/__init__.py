"""What runs on the GPU node: the model server (`serve`) and the trainer (`tune`), in one image.

Knows nothing of Kubernetes, Workspaces or presets; it meets the operators only in the container contract (`contract.py`). Its
dependencies are its own: no operator imports it, and it imports none of them.
"""
