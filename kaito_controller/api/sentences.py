"""What a user is told when a rule is broken: the part after the value, with the cure.

The pure rules and the generated CEL rules take their words from here, so that `kubectl apply` and the condition that the
controller sets say the same.
"""

from __future__ import annotations

from kaito_controller.api.labels import TRY_AGAIN

NEW_WORKSPACE = "create a new Workspace instead"

WORKSPACE_NAME = (
    "cannot name the Service and the labels of a Workspace; use at most 63 lower-case letters, digits and dashes, "
    "starting with a letter and ending with a letter or a digit"
)
RESOURCE_MISSING = (
    "is missing; give at least resource.labelSelector.matchLabels, and resource.instanceType for the kind of node"
)
RESOURCE_REMOVED = f"cannot be removed; {NEW_WORKSPACE}"
NEITHER_OR_BOTH = "give exactly one of inference and tuning"
TOGGLED = f"cannot be added or removed after creation; {NEW_WORKSPACE}"
TUNING_COUNT = "must be 1, because tuning runs on one node; set resource.count to 1"
TUNING_REPLICAS = "must be 1, because tuning runs on one node and is not scaled"
UNCHANGEABLE = f"cannot be changed; {NEW_WORKSPACE}"

INSTANCE_TYPE = "cannot be an instance type; use the cloud's name for a VM size, such as Standard_NC24ads_A100_v4"
INSTANCE_TYPES_TWICE = "names an instance type twice; give each one once, whatever its letter case"
INSTANCE_TYPE_NOT_FIRST = (
    "is not the first entry of resource.instanceTypes, which takes its place; "
    "leave resource.instanceType out or repeat that entry"
)
SELECTOR_EMPTY = "is empty, so every node of the cluster would qualify; give at least one label under resource.labelSelector.matchLabels"
SELECTOR_OPERATOR = (
    "must use the operator In with exactly one value, because new nodes get these labels too; write it as matchLabels"
)
SELECTOR_KEY = "has a key that is no label key; use letters, digits, '-', '_' and '.', at most 63, with an optional DNS prefix and '/'"
SELECTOR_VALUE = "has a value that is no label value; use at most 63 letters, digits, '-', '_' and '.', starting and ending alphanumeric"
SELECTOR_RESERVED = (
    "must not use label keys of kaito.sh, kubernetes.io, k8s.io, karpenter.sh or a cloud, which say whose a node is and what it is; "
    "choose a label of your own, resource.instanceType or resource.preferredNodes; only topology.kubernetes.io/zone, "
    "karpenter.sh/capacity-type, kubernetes.io/arch and kubernetes.io/os can be asked for"
)
SELECTOR_ORDERED = (
    "asks for a node that cannot be had; use karpenter.sh/capacity-type on-demand or spot, kubernetes.io/arch amd64 and "
    "kubernetes.io/os linux, which is what every model image is built for"
)
SELECTOR_CONFLICT = "asks for two values of one label key; keep one of them"
NODE_NAME = "is no node name; use the name that kubectl get nodes shows"

PRESET_OR_TEMPLATE = "give exactly one of inference.preset and inference.template"
TEMPLATE_ADAPTERS = (
    "need a preset, and a pod template is given; load adapters in your own container, or use inference.preset"
)
PRIVATE_IMAGE = "is missing although accessMode is private; give the image that holds the model"
PUBLIC_IMAGE = "is ignored while accessMode is public; set accessMode to private, or remove the image"
WEIGHTS_TWICE = "come from two places; give claimName or artifact"
WEIGHTS_PATH = "is a folder of a claim; give claimName too"
WEIGHTS_FOLDER = "is no folder of the claim; write a relative path such as models/qwen3-8b"
CLAIM_NAME = "cannot be the name of a PersistentVolumeClaim; use the lower-case name that kubectl get pvc shows"
WEIGHTS_OF_TUNING = "cannot be given for tuning, whose image holds the weights; remove them"
PRESET_NO_WEIGHTS = "has its weights in its image; remove presetOptions.weights or use another preset"
IMAGE_TO_PULL = (
    "is no image that can be pulled; write registry/repository:tag with the repository in lower case, "
    "such as myregistry.azurecr.io/my-model:0.0.1"
)
IMAGE_TO_PUSH = (
    "is no image that can be pushed; write registry/repository:tag with the repository in lower case, "
    "such as myregistry.azurecr.io/my-adapter:0.0.1"
)
SECRET_NAME = "cannot be the name of a Secret; use the lower-case name that kubectl get secrets shows"  # noqa: S105  # words

HOST_NAMESPACE = (
    "must not be true: a Workspace stays inside its pod; remove hostNetwork, hostPID and hostIPC from the template"
)
HOST_PATH = "must not use hostPath: a Workspace stays inside its pod; use a PersistentVolumeClaim"
PRIVILEGED = "must not be privileged: a Workspace stays inside its pod; remove securityContext.privileged"
CONTAINER_NAME = "cannot name a container; use at most 63 lower-case letters, digits and dashes"

ADAPTER_NAME = "cannot name an adapter; use at most 63 lower-case letters, digits and dashes, starting and ending with a letter or a digit"
ADAPTER_NAME_MISSING = "is missing; give each adapter a name of its own"
ADAPTER_IMAGE_MISSING = "is missing; adapters come from an image that holds them in /data"
ADAPTER_OTHER_SOURCE = "cannot come from urls or a volume; give source.image only"
ADAPTER_DUPLICATE = "has two entries of the same name; give each adapter a name of its own"
ADAPTER_STRENGTH = 'is no strength; write a decimal between 0 and 1 as text, such as "0.5"'
ADAPTER_IS_WORKSPACE = "is also the name of the Workspace, whose container has it; give the adapter another name"

TUNING_PRESET_MISSING = "is missing; name the model to tune"
METHOD = "is no tuning method; use lora or qlora"
METHOD_MISSING = "is missing; use lora or qlora"
TEMPLATE_CONFIG = (
    "needs a preset, and a pod template is given; set the parameters in your own container, or use inference.preset"
)
PRESET_NO_CONFIG = (
    "runs the program of its own image, which reads no engine options; remove inference.config or use another preset"
)
CONFIG_NAME = "cannot be the name of a ConfigMap; use the lower-case name that kubectl get configmaps shows"
INPUT_SOURCES = "give exactly one of urls, volumeSource and image"
URL = "is no URL that can be downloaded; write http:// or https:// and no blanks"
URL_HOST = (
    "has a host that can be read in several ways; "
    "write it as a DNS name, as four decimal numbers, or as a public IPv6 address in brackets"
)
METADATA_URL = "points at the cloud's metadata service or at the node itself; give the URL of a data file"
VOLUME_KIND = (
    "give exactly one of persistentVolumeClaim, csi, ephemeral and configMap; other kinds of volume are not mounted"
)
OUTPUT_VOLUME = (
    "can only be a persistentVolumeClaim, in which the result stays until it is pushed: the result is pushed as an image; "
    "give output.image and output.imagePushSecret too"
)
OUTPUT_IMAGE_MISSING = "is missing; name the image to push, such as myregistry.azurecr.io/my-adapter:0.0.1"
PUSH_SECRET_MISSING = "is missing; name the Secret that may push the image"  # noqa: S105  # words

MEANT = " (did you mean "
MEANT_END = "?)"
PRESET_UNKNOWN = "is no known preset"
PRESETS_ARE = "use one of"
PRESET_PRIVATE = "has no published image; set accessMode to private and give presetOptions.image"
PRESET_NOT_TUNABLE = "cannot be tuned with"
PRESET_TUNABLE = "; presets that can be tuned:"
PRESET_NO_ADAPTERS = "cannot load adapters; remove inference.adapters or use another preset"
DISTRIBUTED_NAME = "is too long for a distributed preset, whose pods add a suffix; use at most 52 characters"
TYPE_UNKNOWN = "is no known GPU instance type"
TYPES_ARE = "use one such as Standard_NC24ads_A100_v4, or add it as sku.<name>.yaml to the catalogue ConfigMap"
TYPE_IS_DEFAULT = (
    "; this type is the default, of which none will be ordered for this model: name another one under resource.instanceType, "
    "unless nodes that hold the model exist and have the labels of resource.labelSelector"
)
RETIRED_IS_DEFAULT = (
    "; this type is the default, which is ordered unless nodes exist or resource.instanceType names another one"
)
TYPE_WITHOUT_GPU = "has no GPU, which every preset needs; use a GPU instance type such as Standard_NC24ads_A100_v4"


def try_again(namespace: str, name: str) -> str:
    """The command that asks for another try."""
    return f'kubectl annotate workspace {name} -n {namespace} --overwrite {TRY_AGAIN}="$(date)"'
