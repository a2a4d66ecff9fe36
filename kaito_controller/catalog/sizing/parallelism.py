"""How a model is spread over GPUs: widths that its heads allow, and what each GPU then holds.

Tensor parallelism divides heads and feed-forward layers inside a node; its width must divide the query heads, and the KV heads must be
divisible by it or it by them (then each KV head is copied). Pipeline parallelism gives each node some of the layers, or, where the
user says so, each group of GPUs inside a node. Data parallelism runs whole copies side by side. What cannot be divided (latent
caches, the hidden size of activations) is on every GPU.
"""

from __future__ import annotations

from dataclasses import dataclass

from kaito_controller.catalog.shape import ModelShape


@dataclass(frozen=True, slots=True)
class Widths:
    """GPUs side by side: `tensor` in a node, `pipeline` stages over `nodes`, `data` copies in a node."""

    tensor: int = 1
    pipeline: int = 1
    data: int = 1
    nodes: int = 1
    """Nodes that share one copy of the model; the stages of the pipeline are spread evenly over them."""

    @property
    def gpus_per_node(self) -> int:
        """GPUs that each pod asks for."""
        return self.tensor * self.data * -(-self.pipeline // self.nodes)

    def __str__(self) -> str:
        """`TP 2 x PP 3`; widths of 1 are left out."""
        parts = [f"{name} {n}" for name, n in (("TP", self.tensor), ("PP", self.pipeline), ("DP", self.data)) if n > 1]
        return " x ".join(parts) or "1 GPU"


def tensor_widths(shape: ModelShape, gpus: int) -> list[int]:
    """Widths up to `gpus` that the model's heads allow, smallest first."""
    return [width for width in range(1, gpus + 1) if is_tensor_width(shape, width)]


def is_tensor_width(shape: ModelShape, width: int) -> bool:
    """Whether `width` GPUs can share each layer."""
    if shape.heads % width:
        return False
    return all(g.kv_heads % width == 0 or width % g.kv_heads == 0 for g in shape.attention if g.kv_heads)


def weights_per_gpu(shape: ModelShape, widths: Widths) -> int:
    """Bytes of weights on the fullest GPU.

    A stage of a pipeline has whole layers, and the first or last one the embedding or the output layer as well.
    """
    total = shape.weight_bytes
    if widths.pipeline == 1:
        return -(-total // widths.tensor)
    embedding = min(shape.embedding_bytes, total // 2)
    body = total - embedding * (1 if shape.tied else 2)
    layers = -(-shape.layers // widths.pipeline)
    return -(-(body * layers // shape.layers + embedding) // widths.tensor)
