"""The ValidatingAdmissionPolicy: the rules that need the catalogue, with the catalogue ConfigMap as their parameter.

The same rules in Python are `kaito_controller/api/rules/catalogue.py`. They run on creation; on an update only the rules about
adapters do, and only when adapters changed. Status writes and objects being deleted are never looked at. When the ConfigMap is
missing, the policy steps aside: the controller applies the same rules before it orders a node.
"""

from __future__ import annotations

from typing import Any

from hack.generate.catalogue_parameter import FAMILY, NAMESPACE
from hack.generate.catalogue_parameter import NAME as PARAMETER
from hack.generate.cel import fits, has_weights, quoted, text, with_value
from kaito_controller.api import patterns, sentences
from kaito_controller.api.rules.catalogue import MAX_DISTRIBUTED_NAME
from kaito_controller.api.types import DEFAULT_INSTANCE_TYPE

WRITES_OF_WORKSPACES = {
    "resourceRules": [
        {
            "apiGroups": ["kaito.sh"],
            "apiVersions": ["v1alpha1"],
            "operations": ["CREATE", "UPDATE"],
            "resources": ["workspaces"],
        }
    ]
}
"""What every policy of ours looks at."""
NAME = "kaito-workspace-catalogue"
LIFE_NAME = "kaito-workspace-instance-type-life"
DEFAULT_TYPE_NAME = "kaito-workspace-default-type"
_ADAPTERS_CHANGED = (
    "has(object.inference) && has(object.inference.adapters) && !(has(oldObject.inference) && "
    "has(oldObject.inference.adapters) && object.inference.adapters == oldObject.inference.adapters)"
)


def policy() -> dict[str, Any]:
    """The ValidatingAdmissionPolicy."""
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": NAME},
        "spec": {
            "failurePolicy": "Fail",
            "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
            "matchConstraints": WRITES_OF_WORKSPACES,
            "matchConditions": [
                {"name": "not-being-deleted", "expression": "!has(object.metadata.deletionTimestamp)"},
                {
                    "name": "created-or-adapters-changed",
                    "expression": f"request.operation == 'CREATE' || ({_ADAPTERS_CHANGED})",
                },
            ],
            "variables": [{"name": name, "expression": expression} for name, expression in _variables()],
            "validations": [
                {"expression": rule, "messageExpression": message, "message": fallback}
                for rule, message, fallback in _validations()
            ],
        },
    }


def binding() -> dict[str, Any]:
    """The ValidatingAdmissionPolicyBinding."""
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": NAME},
        "spec": {
            "policyName": NAME,
            "paramRef": {"name": PARAMETER, "namespace": NAMESPACE, "parameterNotFoundAction": "Allow"},
            "validationActions": ["Deny"],
        },
    }


def life_policy() -> dict[str, Any]:
    """A second policy, about instance types that their cloud retires. Its binding only warns: nodes of such a type may still be had."""
    life = policy()
    life["metadata"]["name"] = LIFE_NAME
    retired = "variables.keys.filter(k, (k + '.retired') in params.data)"
    life["spec"] |= {
        "failurePolicy": "Ignore",
        "matchConditions": [{"name": "created", "expression": "request.operation == 'CREATE'"}],
        "variables": [
            {"name": name, "expression": expression} for name, expression in (*_type_variables(), ("retired", retired))
        ],
        "validations": [
            {
                "expression": "variables.retired.size() == 0",
                "messageExpression": f"{_field('variables.retired[0]')} + params.data[variables.retired[0] + '.retired'] + "
                f"(variables.typeDefault ? {text(sentences.RETIRED_IS_DEFAULT)} : '')",
                "message": "resource.instanceType is retired by its cloud",
            }
        ],
    }
    return life


def life_binding() -> dict[str, Any]:
    """The binding of the second policy."""
    life = binding()
    life["metadata"]["name"] = LIFE_NAME
    life["spec"] |= {"policyName": LIFE_NAME, "validationActions": ["Warn"]}
    return life


def default_type_policy() -> dict[str, Any]:
    """A third policy, for a model that the default instance type does not hold. Its binding only warns: nodes that exist may do."""
    found = policy()
    found["metadata"]["name"] = DEFAULT_TYPE_NAME
    found["spec"] |= {
        "failurePolicy": "Ignore",
        "matchConditions": [{"name": "created", "expression": "request.operation == 'CREATE'"}],
        "validations": [_default_type_warning(*rule) for rule in (_size(), _shape())],
    }
    return found


def default_type_binding() -> dict[str, Any]:
    """The binding of the third policy."""
    found = binding()
    found["metadata"]["name"] = DEFAULT_TYPE_NAME
    found["spec"] |= {"policyName": DEFAULT_TYPE_NAME, "validationActions": ["Warn"]}
    return found


def _default_type_warning(rule: str, message: str, fallback: str) -> dict[str, str]:
    return {
        "expression": f"!variables.typeDefault || ({rule})",
        "messageExpression": f"{message} + {text(sentences.TYPE_IS_DEFAULT)}",
        "message": f"{fallback}{sentences.TYPE_IS_DEFAULT}",
    }


def _or_default(rule: tuple[str, str, str]) -> tuple[str, str, str]:
    """What the default type lacks is nothing that the author has asked for."""
    return (f"variables.typeDefault || {rule[0]}", *rule[1:])


def _variables() -> list[tuple[str, str]]:
    """Each may use those before it. `presetKey`, `keys` and `needKey` are prefixes of keys in the ConfigMap."""
    method = "object.tuning.method"
    return [
        ("creating", "request.operation == 'CREATE'"),
        ("serves", "has(object.inference)"),
        ("path", "variables.serves ? 'inference.preset' : 'tuning.preset'"),
        (
            "named",
            "has(object.inference) && has(object.inference.preset) ? object.inference.preset.name : "
            "(!has(object.inference) && has(object.tuning) && has(object.tuning.preset) ? object.tuning.preset.name : '')",
        ),
        (
            "accessMode",
            "has(object.inference) && has(object.inference.preset) ? object.inference.preset.accessMode : "
            "(!has(object.inference) && has(object.tuning) && has(object.tuning.preset) ? object.tuning.preset.accessMode : '')",
        ),
        ("alias", "'alias.' + variables.named.replace('/', '__')"),
        ("preset", "variables.alias in params.data ? params.data[variables.alias] : variables.named"),
        ("presetKey", "'preset.' + variables.preset"),
        ("added", "(variables.presetKey + '.yaml') in params.data"),
        ("builtIn", "(variables.presetKey + '.access') in params.data && !variables.added"),
        ("distributed", "variables.builtIn && (variables.presetKey + '.world') in params.data"),
        *_type_variables(),
        # CEL cannot compute how alike two names are: presets are told by their first letters, types by what follows `Standard_`.
        (
            "family",
            f"variables.named.lowerAscii().size() > {FAMILY} ? variables.named.lowerAscii().substring(0, {FAMILY}) : ''",
        ),
        ("strange", f"variables.keys.filter(k, {_is_strange('k')} && !{_begins('k', 'standard_d')})"),
        ("without", f"variables.keys.filter(k, {_is_strange('k')} && {_begins('k', 'standard_d')})"),
        ("strangeLower", "variables.strange.size() > 0 ? variables.strange[0].substring(4).lowerAscii() : ''"),
        (
            "typeMeant",
            "'type-bare.' + (variables.strangeLower.contains('_') && ('type-bare.' + "
            "variables.strangeLower.substring(variables.strangeLower.indexOf('_') + 1)) in params.data ? "
            "variables.strangeLower.substring(variables.strangeLower.indexOf('_') + 1) : variables.strangeLower)",
        ),
        ("count", "has(object.resource) ? object.resource.count : 1"),
        (
            "method",
            f"!has(object.inference) && has(object.tuning) && has({method}) ? "
            f"({fits(method, patterns.LORA)} ? 'lora' : ({fits(method, patterns.QLORA)} ? 'qlora' : '')) : ''",
        ),
        (
            "needKey",
            "variables.presetKey + (variables.serves ? "
            "'.inference' + (variables.distributed ? '.' + string(variables.count) : '') : '.tuning.' + variables.method)",
        ),
        ("sized", "variables.builtIn && (variables.needKey + '.gpus') in params.data"),
        (
            "configured",
            "has(object.inference) && has(object.inference.config) && object.inference.config != ''",
        ),
        ("fitted", "variables.preset + (variables.serves ? '' : '.' + variables.method)"),
        ("shaped", "variables.builtIn && ('fit.' + variables.fitted) in params.data"),
        ("small", f"variables.sized ? variables.keys.filter(k, {_is_built_in('k')} && !({_fits_node('k')})) : []"),
        (
            "short",
            f"variables.shaped ? variables.keys.filter(k, {_is_built_in('k')} && "
            "!params.data['fit.' + variables.fitted].contains(',' + params.data[k + '.class'] + ',')) : []",
        ),
    ]


def _type_variables() -> list[tuple[str, str]]:
    """`types`: those that nodes may be ordered as, as they are written. `keys`: their prefixes in the ConfigMap, in the same order."""
    listed = "has(object.resource.instanceTypes) && object.resource.instanceTypes.size() > 0"
    name = "('sku-name.' + t.lowerAscii()) in params.data ? params.data['sku-name.' + t.lowerAscii()] : t"
    return [
        ("listed", f"has(object.resource) && {listed}"),
        (
            "types",
            "variables.listed ? object.resource.instanceTypes : (has(object.resource) ? [object.resource.instanceType] : [])",
        ),
        ("keys", f"variables.types.map(t, 'sku.' + ({name}))"),
        (
            "typeDefault",
            f"!variables.listed && variables.types.exists(t, t.lowerAscii() == '{DEFAULT_INSTANCE_TYPE.lower()}')",
        ),
    ]


def _field(key: str) -> str:
    """The path of the instance type with this key, with the colon after it."""
    entry = f"'resource.instanceTypes[' + string(variables.keys.indexOf({key})) + ']: '"
    return f"(variables.listed ? {entry} : 'resource.instanceType: ')"


def _type(key: str) -> str:
    """As it was written."""
    return f"variables.types[variables.keys.indexOf({key})]"


def _is_built_in(key: str) -> str:
    return f"(({key} + '.gpus') in params.data && !(({key} + '.yaml') in params.data))"


def _is_strange(key: str) -> str:
    """Neither known nor a size newer than the catalogue, which pass when Azure would call them GPU (N) sizes."""
    known = f"({key} + '.gpus') in params.data || ({key} + '.yaml') in params.data"
    return f"!({known} || {key} == 'sku.' || {_begins(key, 'standard_n')})"


def _begins(key: str, prefix: str) -> str:
    return f"{key}.substring(4).lowerAscii().startsWith('{prefix}')"


def _fits_node(key: str) -> str:
    def need(name: str) -> str:
        return f"int(params.data[variables.needKey + '.{name}'])"

    def offer(name: str) -> str:
        return f"int(params.data[{key} + '.{name}'])"

    return (
        f"params.data[{key} + '.accelerator'] == 'nvidia' && {offer('gpus')} >= {need('gpus')} && "
        f"{offer('gpu-bytes')} >= {need('gpu-bytes')} && {offer('gpus')} * {offer('gpu-bytes')} >= {need('node-bytes')}"
    )


def _validations() -> list[tuple[str, str, str]]:
    """Expression, message expression, and the message in case that one fails."""
    return [
        _unknown_preset(),
        _private_preset(),
        *_types(),
        *_uses(),
        _or_default(_size()),
        _or_default(_shape()),
        *_adapters(),
    ]


def _unknown_preset() -> tuple[str, str, str]:
    family = "params.data['preset-family.' + variables.family]"
    meant = f"{text(sentences.MEANT)} + {family} + {text(sentences.MEANT_END)}"
    unknown = (
        f"variables.path + '.name: ' + {quoted('variables.named')} + {text(f' {sentences.PRESET_UNKNOWN}')} + "
        f"('preset-family.' + variables.family in params.data ? {meant} : '') + "
        f"{text(f'; {sentences.PRESETS_ARE} ')} + params.data['presets']"
    )
    return (
        "!variables.creating || variables.preset == '' || variables.builtIn || variables.added",
        unknown,
        "preset.name is no known preset",
    )


def _private_preset() -> tuple[str, str, str]:
    return (
        "!variables.creating || !variables.builtIn || params.data[variables.presetKey + '.access'] != 'private' || "
        "variables.accessMode == 'private'",
        f"variables.path + '.accessMode: ' + variables.preset + {text(f' {sentences.PRESET_PRIVATE}')}",
        f"preset.accessMode: the preset {sentences.PRESET_PRIVATE}",
    )


def _types() -> list[tuple[str, str, str]]:
    meant = f"{text(sentences.MEANT)} + params.data[variables.typeMeant] + {text(sentences.MEANT_END)}"
    strange, without = "variables.strange[0]", "variables.without[0]"
    return [
        (
            "!variables.creating || variables.strange.size() == 0",
            f"{_field(strange)} + {with_value(_type(strange), sentences.TYPE_UNKNOWN)} + "
            f"(variables.typeMeant in params.data ? {meant} : '') + {text(f'; {sentences.TYPES_ARE}')}",
            f"resource.instanceType {sentences.TYPE_UNKNOWN}; {sentences.TYPES_ARE}",
        ),
        (
            "!variables.creating || variables.preset == '' || variables.without.size() == 0",
            f"{_field(without)} + {with_value(_type(without), sentences.TYPE_WITHOUT_GPU)}",
            f"resource.instanceType {sentences.TYPE_WITHOUT_GPU}",
        ),
    ]


def _uses() -> list[tuple[str, str, str]]:
    return [
        (
            "!variables.creating || variables.serves || !variables.builtIn || variables.method == '' || "
            "variables.sized || variables.shaped",
            f"'tuning.preset.name: ' + variables.preset + {text(f' {sentences.PRESET_NOT_TUNABLE} ')} + variables.method + "
            f"{text(f'{sentences.PRESET_TUNABLE} ')} + params.data['tunable.' + variables.method]",
            "tuning.preset.name: this preset cannot be tuned with this method",
        ),
        (
            "!variables.creating || !variables.serves || !variables.builtIn || variables.shaped || "
            f"!({has_weights('object.inference.preset')})",
            f"'inference.preset.presetOptions.weights: ' + variables.preset + {text(f' {sentences.PRESET_NO_WEIGHTS}')}",
            f"inference.preset.presetOptions.weights: the preset {sentences.PRESET_NO_WEIGHTS}",
        ),
        (
            "!variables.creating || !variables.configured || !variables.builtIn || variables.shaped",
            f"'inference.config: ' + variables.preset + {text(f' {sentences.PRESET_NO_CONFIG}')}",
            f"inference.config: the preset {sentences.PRESET_NO_CONFIG}",
        ),
        (
            "!variables.creating || !variables.serves || !variables.distributed || "
            f"object.metadata.name.size() <= {MAX_DISTRIBUTED_NAME}",
            f"'metadata.name: ' + {with_value('object.metadata.name', sentences.DISTRIBUTED_NAME)}",
            f"metadata.name {sentences.DISTRIBUTED_NAME}",
        ),
        (
            "!variables.creating || !variables.serves || !variables.distributed || variables.sized || "
            "!variables.keys.exists(k, (k + '.gpus') in params.data || (k + '.yaml') in params.data)",
            "'resource.count: ' + string(variables.count) + ' nodes cannot share the ' + params.data[variables.presetKey + '.world'] + "
            "' processes of ' + variables.preset + ' evenly; ' + params.data[variables.presetKey + '.counts']",
            "resource.count: the processes of this preset cannot be spread evenly over so many nodes",
        ),
    ]


def _size() -> tuple[str, str, str]:
    key = "variables.small[0]"
    return (
        "!variables.creating || variables.small.size() == 0",
        f"{_field(key)} + {_type(key)} + ' has ' + params.data[{key} + '.offer'] + '; ' + "
        "params.data[variables.needKey + '.text'] + '; ' + "
        f"(params.data[{key} + '.accelerator'] == 'nvidia' ? '' : 'presets run on NVIDIA GPUs only; ') + "
        f"params.data[variables.needKey + '.fits.' + params.data[{key} + '.cloud']]",
        "resource.instanceType: its GPUs are too few or too small for the preset",
    )


def _shape() -> tuple[str, str, str]:
    """A preset that is sized by its shape: on which classes of instance type one node holds it was planned beforehand."""
    key = "variables.short[0]"
    lacking = f"'short.' + variables.fitted + '.' + params.data[{key} + '.class']"
    return (
        "!variables.creating || variables.configured || variables.short.size() == 0",
        f"{_field(key)} + {_type(key)} + ' has ' + params.data[{key} + '.offer'] + '; ' + "
        f"variables.preset + ': ' + ({lacking} in params.data ? params.data[{lacking}] : params.data[{key} + '.unfit']) + '; ' + "
        f"params.data['cure.' + variables.fitted + '.' + params.data[{key} + '.cloud']]",
        "resource.instanceType: its GPUs are too few or too small for the preset",
    )


def _adapters() -> list[tuple[str, str, str]]:
    has_adapters = "has(object.inference) && has(object.inference.adapters) && object.inference.adapters.size() > 0"
    named = "has(a.source) && has(a.source.name) && a.source.name == object.metadata.name"
    return [
        (
            f"!({has_adapters}) || !variables.builtIn || params.data[variables.presetKey + '.adapters'] == 'true'",
            f"'inference.adapters: ' + variables.preset + {text(f' {sentences.PRESET_NO_ADAPTERS}')}",
            f"inference.adapters: the preset {sentences.PRESET_NO_ADAPTERS}",
        ),
        (
            f"!({has_adapters}) || !object.inference.adapters.exists(a, {named})",
            f"'inference.adapters: ' + {with_value('object.metadata.name', sentences.ADAPTER_IS_WORKSPACE)}",
            f"inference.adapters: the name of an adapter {sentences.ADAPTER_IS_WORKSPACE}",
        ),
    ]
