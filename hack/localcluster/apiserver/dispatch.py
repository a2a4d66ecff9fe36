"""From a routed request with its decoded body to the verb that does the work, and from the result to an Answer. Knows no sockets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from hack.localcluster.apiserver import patching, reading
from hack.localcluster.apiserver.answers import Answer, json_answer, warning_headers
from hack.localcluster.apiserver.builtins import REVIEW_KINDS
from hack.localcluster.apiserver.errors import (
    StatusError,
    bad_request,
    forbidden,
    method_not_allowed,
    unreadable,
    unsupported,
)
from hack.localcluster.apiserver.logoptions import LogOptions
from hack.localcluster.apiserver.negotiation import view_for
from hack.localcluster.apiserver.objects import Caller, Object, Write
from hack.localcluster.apiserver.podlogs import ContainerLogs, PodLog
from hack.localcluster.apiserver.rbac import Attributes, Rbac
from hack.localcluster.apiserver.reading import whole_number
from hack.localcluster.apiserver.registry import ResourceType
from hack.localcluster.apiserver.reviews import Reviews
from hack.localcluster.apiserver.routing import Route
from hack.localcluster.apiserver.schema import builtin_kind_schema, builtin_schema
from hack.localcluster.apiserver.store import Entry
from hack.localcluster.apiserver.subresources import Subresources
from hack.localcluster.apiserver.validation import kind_of, quoted, validate
from hack.localcluster.apiserver.verbs import Verbs
from hack.localcluster.apiserver.views import View


@dataclass(frozen=True, slots=True)
class Ask:
    """One resource request."""

    route: Route
    kind: ResourceType
    caller: Caller
    sent: Any
    content_type: str
    accept: str

    @property
    def body(self) -> Any:
        """What was sent; raises when it could not be decoded."""
        if isinstance(self.sent, StatusError):
            raise self.sent
        return self.sent


class Dispatcher:
    """Answers resource requests other than watches and proxies."""

    def __init__(self, verbs: Verbs, reviews: Reviews, subresources: Subresources, rbac: Rbac) -> None:
        self._verbs = verbs
        self._reviews = reviews
        self._subresources = subresources
        self._rbac = rbac
        self.container_logs: ContainerLogs | None = None

    def answer(self, ask: Ask) -> Answer:
        """Do it."""
        route, kind = ask.route, ask.kind
        if route.subresource not in ("", "status"):
            return self._subresource(ask)
        if route.verb not in kind.verbs or (route.subresource and route.verb not in ("get", "update", "patch")):
            raise method_not_allowed()
        if kind.kind in REVIEW_KINDS:
            return json_answer(self._reviews.answer(kind, _object(ask.body), ask.caller, route.namespace), 201)
        view = view_for(kind, ask.accept, route.query)
        if route.verb == "get":
            return Answer(view.item(self._verbs.entry(kind, route.namespace, route.name)))
        if route.verb == "list":
            listing = reading.list_objects(self._verbs.store, kind, route.namespace, route.query)
            return Answer(view.listing(listing.entries, listing.metadata))
        return self._write(ask, view)

    def log(self, ask: Ask) -> tuple[PodLog, Object]:
        """The log that is asked for, and the pod as it is now."""
        route = ask.route
        options = LogOptions(route.query, route.name)
        pod = self._verbs.entry(ask.kind, route.namespace, route.name).obj
        return PodLog(pod, options, self.container_logs), pod

    def now(self, ask: Ask, uid: str) -> Object | None:
        """The object with that UID as it is now, None when it is gone."""
        try:
            obj = self._verbs.entry(ask.kind, ask.route.namespace, ask.route.name).obj
        except StatusError:
            return None
        return obj if obj["metadata"]["uid"] == uid else None

    def _write(self, ask: Ask, view: View) -> Answer:
        if ask.route.verb == "patch":
            check_patch_type(ask.kind, ask.content_type)
        write = _write_options(ask)
        try:
            return self._carry_out(ask, view, write)
        except StatusError as error:
            error.warnings = tuple(write.warnings)
            raise

    def _carry_out(self, ask: Ask, view: View, write: Write) -> Answer:
        route, kind = ask.route, ask.kind
        match route.verb:
            case "create":
                if kind.namespaced and not route.namespace:
                    raise method_not_allowed()
                return _written(view, self._verbs.create(kind, route.namespace, ask.body, write), write, 201)
            case "update":
                entry = self._verbs.modify(
                    kind,
                    route.namespace,
                    route.name,
                    lambda _: ask.body,
                    write,
                    subresource=route.subresource,
                    is_put=True,
                )
                return _written(view, entry, write)
            case "patch":
                return self._patch(ask, view, write)
        options = _delete_options(route, ask.body)
        write.dry_run = write.dry_run or options.get("dryRun") == ["All"]
        if route.verb == "delete":
            return self._delete(ask, view, options, write)
        return self._delete_collection(ask, view, options, write)

    def _patch(self, ask: Ask, view: View, write: Write) -> Answer:
        route, kind = ask.route, ask.kind
        if ask.content_type != patching.APPLY:
            change = patch_change(kind, ask.content_type, ask.body)
            entry = self._verbs.modify(kind, route.namespace, route.name, change, write, subresource=route.subresource)
            return _written(view, entry, write)
        if not route.query.get("fieldManager"):
            text = 'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch'
            raise StatusError(422, text)
        key = self._verbs.key(kind, route.namespace, route.name)
        is_new = self._verbs.store.get(kind.storage, key) is None
        if is_new and not route.subresource:
            self._check_may_create(ask)
        entry = self._verbs.apply(
            kind, route.namespace, route.name, ask.body, write, force=route.flag("force"), subresource=route.subresource
        )
        return _written(view, entry, write, 201 if is_new else 200)

    def _check_may_create(self, ask: Ask) -> None:
        wanted = Attributes("create", ask.kind.group, ask.kind.plural, "", ask.route.namespace, ask.route.name)
        if not self._rbac.allows(ask.caller, wanted):
            raise forbidden(ask.kind, ask.route.name, wanted.denial(ask.caller.user))

    def _delete(self, ask: Ask, view: View, options: Object, write: Write) -> Answer:
        route, kind = ask.route, ask.kind
        entry, gone = self._verbs.delete(kind, route.namespace, route.name, options, write)
        if not gone:
            return _written(view, entry, write)
        details = {"name": route.name, "kind": kind.plural, "uid": entry.obj["metadata"]["uid"]}
        details |= {"group": kind.group} if kind.group else {}
        return json_answer(
            {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
        )

    def _delete_collection(self, ask: Ask, view: View, options: Object, write: Write) -> Answer:
        listing = reading.list_objects(self._verbs.store, ask.kind, ask.route.namespace, ask.route.query)
        for entry in listing.entries:
            metadata = entry.obj["metadata"]
            self._verbs.delete(ask.kind, metadata.get("namespace", ""), metadata["name"], options, write)
        return Answer(view.listing(listing.entries, listing.metadata))

    def _subresource(self, ask: Ask) -> Answer:
        route, kind = ask.route, ask.kind
        place = (kind, route.namespace, route.name)
        if route.subresource == "scale" and route.verb == "get":
            return json_answer(self._subresources.scale(*place))
        if route.subresource == "scale" and route.verb in ("update", "patch"):
            change: Callable[[Object], Any] = lambda _: ask.body  # noqa: E731
            if route.verb == "patch":
                change = patch_change(kind, ask.content_type, ask.body, typed=False)
            return json_answer(self._subresources.change_scale(*place, change, _write_options(ask)))
        if route.subresource == "log" and route.verb == "get":
            log, pod = self.log(ask)
            return Answer(log.more(pod), 200 if log.is_assigned else 204, content_type="text/plain")
        if route.verb == "create":
            found = self._subresources.create(*place, route.subresource, ask.body, _write_options(ask))
            if found is not None:
                return json_answer(found, 201)
        raise unsupported(f"{route.verb} of the subresource {kind.plural}/{route.subresource}")


def patch_change(kind: ResourceType, content_type: str, patch: Any, *, typed: bool = True) -> Callable[[Object], Any]:
    """The function that a patch is; 415 for a format that the type does not take, 400 for a patch that is none."""
    check_patch_type(kind, content_type)
    wanted = list if content_type == patching.JSON else dict
    if not isinstance(patch, wanted):
        raise bad_request(f"error decoding patch: json: cannot unmarshal {kind_of(patch)} into a {wanted.__name__}")
    if content_type == patching.MERGE:
        return lambda obj: patching.merge_patch(obj, patch)
    if content_type == patching.JSON:
        return lambda obj: patching.json_patch(obj, patch)
    schema = builtin_kind_schema(kind.api_version, kind.kind) if typed else None
    return lambda obj: patching.strategic(obj, patch, schema)


def check_patch_type(kind: ResourceType, content_type: str) -> None:
    """415 for a format that the type does not take."""
    accepted = [patching.JSON, patching.MERGE, patching.APPLY] + ([] if kind.custom else [patching.STRATEGIC])
    if content_type not in accepted:
        raise unreadable(accepted)


def _object(body: Any) -> Object:
    if not isinstance(body, dict):
        raise bad_request("the body of the request must be an object")
    return body


_OPTIONS_IN_BODY = ("delete", "deletecollection")
"""Verbs whose options are those of the body, if there is one, and not those of the query."""
_OPTIONS = {"create": "CreateOptions", "update": "UpdateOptions", "patch": "PatchOptions"}


def _write_options(ask: Ask) -> Write:
    query, applies = ask.route.query, ask.content_type == patching.APPLY
    manager, validation = query.get("fieldManager", ""), query.get("fieldValidation", "") or "Warn"
    wrong = []
    in_body = ask.route.verb in _OPTIONS_IN_BODY and ask.sent is not None
    if not in_body and "dryRun" in query and query["dryRun"] != "All":
        wrong.append(f'dryRun: Unsupported value: ["{query["dryRun"]}"]: supported values: "All"')
    if len(manager.encode()) > 128:
        wrong.append("fieldManager: Too long: may not be more than 128 bytes")
    if not manager.isprintable():
        wrong.append(f"fieldManager: Invalid value: {quoted(manager)}: should only contain printable characters")
    if validation not in ("Ignore", "Warn", "Strict"):
        wrong.append(
            f'fieldValidation: Unsupported value: "{validation}": supported values: "", "Ignore", "Strict", "Warn"'
        )
    if ask.route.verb == "patch" and not applies and "force" in query:
        wrong.append("force: Forbidden: may not be specified for non-apply patch")
    if wrong and (name := _OPTIONS.get(ask.route.verb, "DeleteOptions")):
        raise StatusError(422, f'{name}.meta.k8s.io "" is invalid: {", ".join(wrong)}')
    return Write(
        ask.caller,
        manager or ask.caller.agent.partition("/")[0][:128],
        not in_body and query.get("dryRun") == "All",
        validation,
    )


def _delete_options(route: Route, body: Any) -> Object:
    """The options of a body, or those of the query."""
    if body is not None:
        return _decoded_options(body)
    options: Object = {}
    query = route.query
    if "gracePeriodSeconds" in query:
        options["gracePeriodSeconds"] = whole_number(query, "gracePeriodSeconds")
    if "propagationPolicy" in query:
        options["propagationPolicy"] = query["propagationPolicy"]
    if "orphanDependents" in query:
        options["orphanDependents"] = query["orphanDependents"].lower() not in ("false", "0")
    return options


def _decoded_options(body: Any) -> Object:
    if not isinstance(body, dict):
        raise bad_request(f"json: cannot unmarshal {kind_of(body)} into Go value of type v1.DeleteOptions")
    options = {name: value for name, value in body.items() if value is not None}
    for name in ("apiVersion", "kind"):
        if not isinstance(options.get(name, ""), str):
            raise bad_request(f"couldn't get version/kind; json parse error: cannot unmarshal {kind_of(options[name])}")
    causes = validate(options, builtin_schema("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"))
    for cause in causes:
        raise bad_request(f"json: cannot unmarshal into Go struct field DeleteOptions.{cause.field}: {cause.message}")
    if options.get("kind") not in (None, "", "DeleteOptions"):
        raise bad_request(f"the object provided is unrecognized (must be of type DeleteOptions): {options['kind']}")
    if "dryRun" in options and options["dryRun"] not in ([], ["All"]):
        raise StatusError(
            422, 'DeleteOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: supported values: "All"'
        )
    return options


def _written(view: View, entry: Entry, write: Write, code: int = 200) -> Answer:
    return Answer(view.item(entry), code, headers=warning_headers(write.warnings))


def attributes_of(route: Route) -> Attributes:
    """What RBAC is asked about a request."""
    name = route.name
    if not name and route.verb in ("list", "watch", "deletecollection"):
        fields: Sequence[str] = route.query.get("fieldSelector", "").split(",")
        name = next((text.partition("=")[2].lstrip("=") for text in fields if text.startswith("metadata.name=")), "")
    return Attributes(route.verb, route.group, route.resource, route.subresource, route.namespace, name)
