"""The server's own metrics, under vLLM's names where they mean the same, so that one dashboard and one autoscaler fit both engines."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_FIRST_TOKEN_BUCKETS = (
    0.001,
    0.005,
    0.01,
    0.02,
    0.04,
    0.06,
    0.08,
    0.1,
    0.25,
    0.5,
    0.75,
    1.0,
    2.5,
    5.0,
    7.5,
    10.0,
    20.0,
    40.0,
    80.0,
)
_TOKEN_BUCKETS = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0)
_REQUEST_BUCKETS = (
    0.3,
    0.5,
    0.8,
    1.0,
    1.5,
    2.0,
    2.5,
    5.0,
    10.0,
    15.0,
    20.0,
    30.0,
    40.0,
    50.0,
    60.0,
    120.0,
    240.0,
    480.0,
)
_MODEL = ("model_name",)


class FrontMetrics:
    """What the server knows before and around its engine; served from the first second on, while weights are still fetched."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.ready = Gauge("model_runtime_ready", "1 while the model can generate.", registry=registry)
        self.info = Gauge(
            "model_runtime_info", "Always 1; the engine and why it was chosen.", ("engine", "reason"), registry=registry
        )
        self.refused = Counter(
            "model_runtime_requests_refused_total",
            "Requests refused before the engine saw them, by reason.",
            ("reason",),
            registry=registry,
        )
        self.in_flight = Gauge(
            "model_runtime_requests_in_flight", "Inference requests accepted and not finished.", registry=registry
        )
        self.weights_total = Gauge(
            "model_runtime_weights_bytes", "Size of the weights to fetch; 0 until known.", registry=registry
        )
        self.weights_fetched = Gauge(
            "model_runtime_weights_fetched_bytes", "Bytes of the weights that are here.", registry=registry
        )

    def text(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self.registry)


class EngineMetrics:
    """What the Transformers engine counts, for one served base model. vLLM counts its own."""

    def __init__(self, model_name: str) -> None:
        self.registry = registry = CollectorRegistry()
        self.running = Gauge(
            "vllm:num_requests_running", "Requests being generated.", _MODEL, registry=registry
        ).labels(model_name)
        self.waiting = Gauge(
            "vllm:num_requests_waiting", "Requests that wait for a place.", _MODEL, registry=registry
        ).labels(model_name)
        self.cache_usage = Gauge(
            "vllm:kv_cache_usage_perc", "Share of the key-value cache in use, 0 to 1.", _MODEL, registry=registry
        ).labels(model_name)
        self.prompt_tokens = Counter(
            "vllm:prompt_tokens_total", "Prompt tokens processed.", _MODEL, registry=registry
        ).labels(model_name)
        self.generated_tokens = Counter(
            "vllm:generation_tokens_total", "Tokens generated.", _MODEL, registry=registry
        ).labels(model_name)
        self.finished = Counter(
            "vllm:request_success_total",
            "Finished requests, by reason.",
            ("model_name", "finished_reason"),
            registry=registry,
        )
        self.first_token = Histogram(
            "vllm:time_to_first_token_seconds",
            "From the request to its first token.",
            _MODEL,
            registry=registry,
            buckets=_FIRST_TOKEN_BUCKETS,
        ).labels(model_name)
        self.between_tokens = Histogram(
            "vllm:inter_token_latency_seconds",
            "Between one token and the next.",
            _MODEL,
            registry=registry,
            buckets=_TOKEN_BUCKETS,
        ).labels(model_name)
        self.latency = Histogram(
            "vllm:e2e_request_latency_seconds",
            "From the request to its last token.",
            _MODEL,
            registry=registry,
            buckets=_REQUEST_BUCKETS,
        ).labels(model_name)
        self.model_name = model_name

    def text(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self.registry)
