"""The CEL rules inside the Workspace CRD: everything that can be judged without the catalogue.

They say the same as `kaito_controller/api/rules`, in the same words; a test compares both on thousands of objects. Where a rule
sits decides when the API server repeats it on an update: only if that part of the object changed. Rules about the name and about
which parts are present therefore run on creation only, so that an object older than the rule can still be edited and deleted.
"""

from __future__ import annotations

from hack.generate.cel import (
    WEIGHTS_FIELDS,
    Rule,
    fits,
    given,
    has_weights,
    only_one,
    or_empty,
    text,
    value_or,
    with_value,
)
from kaito_controller.api import labels, patterns, sentences
from kaito_controller.api.types import DEFAULT_INSTANCE_TYPE


def workspace_rules() -> list[Rule]:
    """All of them."""
    return [
        *_root_rules(),
        *_resource_rules(),
        *_selector_rules("resource.labelSelector"),
        *_inference_rules(),
        *_template_rules("inference.template.spec"),
        *_preset_rules("inference.preset"),
        *_adapter_rules("inference.adapters[]"),
        *_tuning_rules(),
        *_preset_rules("tuning.preset"),
        *_input_rules("tuning.input"),
        *_output_rules("tuning.output"),
    ]


def _form(at: str, pattern: str, sentence: str) -> Rule:
    """The text at `at`, when not empty, has the form of `pattern`."""
    return Rule(at, f"self == '' || {fits('self', pattern)}", sentence, with_value("self", sentence))


def _full_form(at: str, pattern: str, sentence: str) -> Rule:
    """The text at `at`, which may not be empty either, has the form of `pattern`."""
    return Rule(at, fits("self", pattern), sentence, with_value("self", sentence))


def _fixed(at: str, message_cel: str = "") -> Rule:
    """For fields that are never absent, because they are required or have a default."""
    return Rule(at, "self == oldSelf", sentences.UNCHANGEABLE, message_cel)


def _fixed_preset(at: str) -> Rule:
    """Part by part: a client that writes `presetOptions: {}`, `image: ""` or `imagePullSecrets: []` changes nothing."""
    fields = (
        ("name", "''"),
        ("accessMode", "'public'"),
        ("presetOptions.image", "''"),
        ("presetOptions.imagePullSecrets", "[]"),
        *((f"presetOptions.weights.{name}", "''") for name in WEIGHTS_FIELDS),
    )
    same = (f"{value_or('self', path, absent)} == {value_or('oldSelf', path, absent)}" for path, absent in fields)
    return Rule(at, " && ".join(same), sentences.UNCHANGEABLE)


def _root_rules() -> list[Rule]:
    name = "self.metadata.name"
    tuned_on = "!has(self.tuning) || !has(self.resource) || self.resource.count == 1"
    return [
        Rule(
            "",
            fits(name, patterns.SERVICE_NAME),
            f"metadata.name {sentences.WORKSPACE_NAME}",
            f"'metadata.name ' + {with_value(name, sentences.WORKSPACE_NAME)}",
            create_only=True,
        ),
        Rule("", "has(self.resource)", f"resource {sentences.RESOURCE_MISSING}", create_only=True),
        Rule("", "has(self.inference) != has(self.tuning)", sentences.NEITHER_OR_BOTH, create_only=True),
        Rule(
            "",
            tuned_on,
            sentences.TUNING_COUNT,
            field=".resource.count",
            create_only=True,
        ),
        Rule(
            "",
            "!has(self.tuning) || !has(self.spec) || !has(self.spec.replicas) || self.spec.replicas == 1",
            sentences.TUNING_REPLICAS,
            field=".spec.replicas",
        ),
        Rule("", "!has(oldSelf.resource) || has(self.resource)", f"resource {sentences.RESOURCE_REMOVED}"),
        Rule("", "has(self.inference) == has(oldSelf.inference)", f"inference {sentences.TOGGLED}"),
        Rule("", "has(self.tuning) == has(oldSelf.tuning)", f"tuning {sentences.TOGGLED}"),
    ]


def _resource_rules() -> list[Rule]:
    listed = given("self", "instanceTypes")
    same_list = f"{value_or('self', 'instanceTypes', '[]')} == {value_or('oldSelf', 'instanceTypes', '[]')}"
    return [
        _fixed("resource.count"),
        _fixed("resource.instanceType", with_value("self", sentences.UNCHANGEABLE)),
        _full_form("resource.instanceType", patterns.INSTANCE_TYPE, sentences.INSTANCE_TYPE),
        _full_form("resource.instanceTypes[]", patterns.INSTANCE_TYPE, sentences.INSTANCE_TYPE),
        Rule(
            "resource.instanceTypes",
            "self.all(a, self.filter(b, a.lowerAscii() == b.lowerAscii()).size() == 1)",
            sentences.INSTANCE_TYPES_TWICE,
        ),
        Rule(
            "resource",
            f"!{listed} || self.instanceType.lowerAscii() in [{text(DEFAULT_INSTANCE_TYPE.lower())}, self.instanceTypes[0].lowerAscii()]",
            sentences.INSTANCE_TYPE_NOT_FIRST,
            with_value("self.instanceType", sentences.INSTANCE_TYPE_NOT_FIRST),
            field=".instanceType",
        ),
        Rule("resource", same_list, sentences.UNCHANGEABLE, field=".instanceTypes"),
        _full_form("resource.preferredNodes[]", patterns.DNS_SUBDOMAIN, sentences.NODE_NAME),
    ]


def _selector_rules(at: str) -> list[Rule]:
    labels_all = "(!has(self.matchLabels) || self.matchLabels.all(key, {}))".format
    each = "(!has(self.matchExpressions) || self.matchExpressions.all(e, {}))".format

    def key_form(key: str) -> str:
        return f"{fits(key, patterns.LABEL_KEY)} && {fits(key, patterns.LABEL_KEY_LENGTHS)}"

    ordered = f"[{', '.join(text(label) for label in labels.ORDERED_LABELS)}]"

    def own(key: str) -> str:
        return f"{key} in {ordered} || !{fits(key, labels.SYSTEM_LABEL)}"

    def can_be_had(key: str, value: str) -> str:
        limited = ((name, can) for name, can in labels.ORDERED_LABELS.items() if can)
        return " && ".join(
            f"({key} != {text(name)} || {value} in [{', '.join(map(text, can))}])" for name, can in limited
        )

    values = "(!has(e.values) || e.values.all(value, {}))".format
    value_form = fits("value", patterns.LABEL_VALUE)
    conflict = each(
        "!has(e.values) || e.operator != 'In' || e.values.size() != 1 || ("
        "(!has(self.matchLabels) || !(e.key in self.matchLabels) || self.matchLabels[e.key] == e.values[0]) && "
        "self.matchExpressions.all(f, f.key != e.key || f.operator != 'In' || !has(f.values) || f.values.size() != 1 || "
        "f.values[0] == e.values[0]))"
    )

    same_expression = f"f.key == e.key && f.operator == e.operator && {value_or('f', 'values', '[]')} == {value_or('e', 'values', '[]')}"

    def subset(one: str, other: str) -> str:
        return (
            f"(!has({one}.matchLabels) || {one}.matchLabels.all(key, "
            f"has({other}.matchLabels) && key in {other}.matchLabels && {other}.matchLabels[key] == {one}.matchLabels[key])) && "
            f"(!has({one}.matchExpressions) || {one}.matchExpressions.all(e, "
            f"has({other}.matchExpressions) && {other}.matchExpressions.exists(f, {same_expression})))"
        )

    return [
        Rule(at, f"{given('self', 'matchLabels')} || {given('self', 'matchExpressions')}", sentences.SELECTOR_EMPTY),
        Rule(at, each("e.operator == 'In' && has(e.values) && e.values.size() == 1"), sentences.SELECTOR_OPERATOR),
        Rule(at, f"{labels_all(key_form('key'))} && {each(key_form('e.key'))}", sentences.SELECTOR_KEY),
        Rule(
            at,
            f"{labels_all(fits('self.matchLabels[key]', patterns.LABEL_VALUE))} && {each(values(value_form))}",
            sentences.SELECTOR_VALUE,
        ),
        Rule(
            at,
            f"{labels_all(own('key'))} && {each(own('e.key'))}",
            sentences.SELECTOR_RESERVED,
        ),
        Rule(
            at,
            f"{labels_all(can_be_had('key', 'self.matchLabels[key]'))} && {each(values(can_be_had('e.key', 'value')))}",
            sentences.SELECTOR_ORDERED,
        ),
        Rule(at, conflict, sentences.SELECTOR_CONFLICT),
        Rule(at, f"{subset('self', 'oldSelf')} && {subset('oldSelf', 'self')}", sentences.UNCHANGEABLE),
    ]


def _inference_rules() -> list[Rule]:
    same_name = "self.all(a, !has(a.source) || self.filter(b, has(b.source) && {} == {}).size() == 1)".format
    return [
        Rule("inference", "has(self.preset) != has(self.template)", sentences.PRESET_OR_TEMPLATE),
        Rule(
            "inference",
            f"!has(self.template) || !{given('self', 'adapters')}",
            sentences.TEMPLATE_ADAPTERS,
            field=".adapters",
        ),
        Rule(
            "inference",
            f"!has(self.template) || !{given('self', 'config')}",
            sentences.TEMPLATE_CONFIG,
            field=".config",
        ),
        _form("inference.config", patterns.DNS_SUBDOMAIN, sentences.CONFIG_NAME),
        Rule("inference", "has(self.preset) == has(oldSelf.preset)", sentences.UNCHANGEABLE, field=".preset"),
        Rule("inference", "has(self.template) == has(oldSelf.template)", sentences.TOGGLED, field=".template"),
        Rule(
            "inference.adapters",
            same_name(or_empty("a.source", "name"), or_empty("b.source", "name")),
            sentences.ADAPTER_DUPLICATE,
        ),
    ]


def _template_rules(at: str) -> list[Rule]:
    off = " && ".join(f"(!has(self.{name}) || !self.{name})" for name in ("hostNetwork", "hostPID", "hostIPC"))
    privileged = (
        "!has(self.securityContext) || !has(self.securityContext.privileged) || !self.securityContext.privileged"
    )
    rules = [
        Rule(at, off, sentences.HOST_NAMESPACE),
        Rule(at, "!has(self.volumes) || self.volumes.all(v, !has(v.hostPath))", sentences.HOST_PATH, field=".volumes"),
    ]
    for kind in ("containers", "initContainers"):
        rules += [
            _full_form(f"{at}.{kind}[].name", patterns.DNS_LABEL, sentences.CONTAINER_NAME),
            Rule(f"{at}.{kind}[]", privileged, sentences.PRIVILEGED),
        ]
    return rules


def _preset_rules(at: str) -> list[Rule]:
    image = f"(has(self.presetOptions) && {given('self.presetOptions', 'image')})"
    private = "self.accessMode == 'private'"
    return [
        _fixed_preset(at),
        Rule(at, f"!({private}) || {image}", f"presetOptions.image {sentences.PRIVATE_IMAGE}"),
        Rule(
            at,
            f"{private} || !{image}",
            f"presetOptions.image {sentences.PUBLIC_IMAGE}",
            f"'presetOptions.image ' + {with_value('self.presetOptions.image', sentences.PUBLIC_IMAGE)}",
        ),
        _form(f"{at}.presetOptions.image", patterns.IMAGE_TO_PULL, sentences.IMAGE_TO_PULL),
        _full_form(f"{at}.presetOptions.imagePullSecrets[]", patterns.DNS_SUBDOMAIN, sentences.SECRET_NAME),
        *_weights_rules(f"{at}.presetOptions.weights"),
    ]


def _weights_rules(at: str) -> list[Rule]:
    claim = given("self", "claimName")
    return [
        Rule(at, f"!{claim} || !{given('self', 'artifact')}", sentences.WEIGHTS_TWICE),
        Rule(at, f"!{given('self', 'path')} || {claim}", f"path {sentences.WEIGHTS_PATH}"),
        _form(f"{at}.claimName", patterns.DNS_SUBDOMAIN, sentences.CLAIM_NAME),
        _form(f"{at}.path", patterns.FOLDER, sentences.WEIGHTS_FOLDER),
        _form(f"{at}.artifact", patterns.IMAGE_TO_PULL, sentences.IMAGE_TO_PULL),
        _form(f"{at}.tokenSecret", patterns.DNS_SUBDOMAIN, sentences.SECRET_NAME),
    ]


def _adapter_rules(at: str) -> list[Rule]:
    source = f"{at}.source"
    return [
        Rule(source, given("self", "name"), f"name {sentences.ADAPTER_NAME_MISSING}"),
        Rule(source, given("self", "image"), f"image {sentences.ADAPTER_IMAGE_MISSING}"),
        Rule(source, f"!{given('self', 'urls')} && !has(self.volumeSource)", sentences.ADAPTER_OTHER_SOURCE),
        _form(f"{source}.name", patterns.DNS_LABEL, sentences.ADAPTER_NAME),
        _form(f"{source}.image", patterns.IMAGE_TO_PULL, sentences.IMAGE_TO_PULL),
        _full_form(f"{source}.imagePullSecrets[]", patterns.DNS_SUBDOMAIN, sentences.SECRET_NAME),
        _full_form(f"{at}.strength", patterns.STRENGTH, sentences.ADAPTER_STRENGTH),
    ]


def _tuning_rules() -> list[Rule]:
    new, old = or_empty("self", "method"), or_empty("oldSelf", "method")
    both = f"{fits(new, patterns.QLORA)} == {fits(old, patterns.QLORA)}"
    known = f"{fits(new, patterns.METHOD)} && {fits(old, patterns.METHOD)}"
    return [
        Rule(
            "tuning.preset",
            f"!({has_weights('self')})",
            sentences.WEIGHTS_OF_TUNING,
            field=".presetOptions.weights",
        ),
        Rule("tuning", "has(self.preset)", f"preset {sentences.TUNING_PRESET_MISSING}"),
        Rule("tuning", given("self", "method"), f"method {sentences.METHOD_MISSING}"),
        Rule("tuning", "has(self.preset) == has(oldSelf.preset)", sentences.UNCHANGEABLE, field=".preset"),
        Rule(
            "tuning",
            f"{new} == {old} || ({known} && {both})",
            f"method {sentences.UNCHANGEABLE}",
            f"'method ' + {with_value(new, sentences.UNCHANGEABLE)}",
        ),
        _form("tuning.method", patterns.METHOD, sentences.METHOD),
        _form("tuning.config", patterns.DNS_SUBDOMAIN, sentences.CONFIG_NAME),
    ]


def _input_rules(at: str) -> list[Rule]:
    kinds = ("persistentVolumeClaim", "csi", "ephemeral", "configMap")
    clear = f"!{fits('self', patterns.URL)} || {fits('self', patterns.URL_HOST)}"
    safe = f"!{fits('self', patterns.METADATA_URL)}"
    same_name = f"{or_empty('self', 'name')} == {or_empty('oldSelf', 'name')}"
    return [
        Rule(
            at,
            only_one(given("self", "urls"), "has(self.volumeSource)", given("self", "image")),
            sentences.INPUT_SOURCES,
        ),
        Rule(at, same_name, f"name {sentences.UNCHANGEABLE}"),
        _full_form(f"{at}.urls[]", patterns.URL, sentences.URL),
        Rule(f"{at}.urls[]", clear, sentences.URL_HOST, with_value("self", sentences.URL_HOST)),
        Rule(f"{at}.urls[]", safe, sentences.METADATA_URL, with_value("self", sentences.METADATA_URL)),
        Rule(f"{at}.volumeSource", only_one(*(f"has(self.{kind})" for kind in kinds)), sentences.VOLUME_KIND),
        _form(f"{at}.image", patterns.IMAGE_TO_PULL, sentences.IMAGE_TO_PULL),
        _full_form(f"{at}.imagePullSecrets[]", patterns.DNS_SUBDOMAIN, sentences.SECRET_NAME),
    ]


def _output_rules(at: str) -> list[Rule]:
    return [
        Rule(
            at,
            "!has(self.volumeSource) || has(self.volumeSource.persistentVolumeClaim)",
            f"volumeSource {sentences.OUTPUT_VOLUME}",
        ),
        Rule(at, given("self", "image"), f"image {sentences.OUTPUT_IMAGE_MISSING}"),
        Rule(at, given("self", "imagePushSecret"), f"imagePushSecret {sentences.PUSH_SECRET_MISSING}"),
        _form(f"{at}.image", patterns.IMAGE_TO_PUSH, sentences.IMAGE_TO_PUSH),
        _form(f"{at}.imagePushSecret", patterns.DNS_SUBDOMAIN, sentences.SECRET_NAME),
    ]
