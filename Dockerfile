# One small image for both operators: `python3 -m kaito_controller` and `python3 -m gpu_provisioner`.
# The bases are pinned by digest and the dependencies by hash (hack/image/*.txt); the final stage has no shell, package manager or compiler.
# Where those two cannot be pulled, name two of your own: a Python 3.11 with venv and a shell to build with, and the same Python to run with.
ARG BUILD_BASE=python:3.11-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b
ARG RUNTIME_BASE=gcr.io/distroless/python3-debian12:nonroot@sha256:66f3e24fd4906156a7360d2861731d31d3457a02f34fd3c4491f0b710a259988

FROM ${BUILD_BASE} AS build
ENV PIP_NO_CACHE_DIR=1
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY hack/image hack/image
COPY controller_runtime controller_runtime
COPY gpu_provisioner gpu_provisioner
COPY kaito_controller kaito_controller
RUN ["sh", "hack/image/assemble.sh", "/app"]

FROM ${RUNTIME_BASE}
LABEL org.opencontainers.image.title="kaito-operator" \
      org.opencontainers.image.version="0.2.0" \
      org.opencontainers.image.description="Workspace controller and GPU provisioner" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /app /app
ENV PYTHONPATH=/app \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 65532:65532
# 8080 metrics, 8081 probes.
EXPOSE 8080 8081
HEALTHCHECK NONE
ENTRYPOINT ["python3", "-m"]
CMD ["kaito_controller"]
