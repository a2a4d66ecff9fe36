"""A policy that lets no pod into a namespace, as a quota or Pod Security would: what makes pods is refused, at every kind of cluster."""

from __future__ import annotations

from controller_runtime.resources import Object

API_VERSION = "admissionregistration.k8s.io/v1"
NAMESPACE_NAME = "kubernetes.io/metadata.name"
WORDS = "no pods are let in before the auditor has been"


def policy(namespace: str, *, dry_runs: bool = True) -> tuple[Object, Object]:
    """The ValidatingAdmissionPolicy and its binding, both named after the namespace.

    `dry_runs` False: it says nothing to a dry run, as a quota that is used up later or a webhook that takes no part in dry runs.
    """
    meta = {"name": f"no-pods-in-{namespace}"}
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    scope = {"namespaceSelector": {"matchLabels": {NAMESPACE_NAME: namespace}}}
    spec = {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": [rule]},
        "validations": [
            {"expression": "false" if dry_runs else "request.dryRun", "message": WORDS, "reason": "Forbidden"}
        ],
    }
    binding = {"policyName": meta["name"], "validationActions": ["Deny"], "matchResources": scope}
    return (
        {"apiVersion": API_VERSION, "kind": "ValidatingAdmissionPolicy", "metadata": meta, "spec": spec},
        {
            "apiVersion": API_VERSION,
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": dict(meta),
            "spec": binding,
        },
    )
