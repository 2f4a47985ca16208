"""Holds answers and requests to the service models of AWS that botocore has, whatever the operation.

An answer is compared before botocore's parsers read it: they overlook a member that they do not know, and take one that
is missing or of another type for what it is. Each function returns what does not fit, in words.
"""

import datetime
import json
import urllib.parse
from xml.etree import ElementTree

from botocore.validate import ParamValidator

# Codes of errors that the models leave out, by protocol, with the status that comes with each.
COMMON_ERRORS = {
    # ECS API Reference, CommonErrors; ThrottlingException and SerializationException as the SDKs know them.
    "json": {"ThrottlingException": 400, "SerializationException": 400, "UnknownOperationException": 400},
    # Auto Scaling API Reference, CommonErrors; Throttling as nomad-autoscaler issue 952 quotes it.
    "query": {
        "ValidationError": 400, "Throttling": 400, "InvalidAction": 400, "MalformedInput": 400,
        "AccessDenied": 403, "InternalFailure": 500,
    },
    # EC2 API Reference, errors-overview.
    "ec2": {
        "InvalidParameterValue": 400, "UnknownParameter": 400, "InvalidAction": 400, "MalformedInput": 400,
        "FilterLimitExceeded": 400, "InvalidLaunchTemplateId.NotFound": 400, "Throttling": 400,
        "UnauthorizedOperation": 403, "InternalFailure": 500,
    },
    # Lambda API Reference, CommonErrors.
    "rest-json": {"AccessDeniedException": 403},
}
NUMBER = (int, float)
TYPES = dict(structure=dict, list=list, map=dict, string=str, boolean=bool, integer=int, long=int, double=NUMBER,
             float=NUMBER, timestamp=(*NUMBER, str))


def answer_misfits(operation, status, headers, body):
    """What of an answer does not fit the model of its operation."""
    protocol = operation.service_model.resolved_protocol
    if status != 200:
        return error_misfits(operation, protocol, status, headers, body)
    shape = operation.output_shape
    if protocol in ("json", "rest-json"):
        return misfits(json.loads(body), shape, operation.name) if shape else []
    root = ElementTree.fromstring(body)
    found = [] if tag(root) == f"{operation.name}Response" else [f"{operation.name} is answered by {tag(root)}"]
    if protocol == "ec2":
        found += [f"{operation.name} has no requestId"] * (root.find("{*}requestId") is None)
        for each in root.findall("{*}requestId"):
            root.remove(each)
        return found + misfits(from_xml(root, shape), shape, operation.name)
    found += [f"{operation.name} has no RequestId"] * (root.find("{*}ResponseMetadata/{*}RequestId") is None)
    wrapper = shape.serialization["resultWrapper"] if shape else None
    expected = {"ResponseMetadata", wrapper} - {None}
    found += [f"{operation.name} has {tag(each)}" for each in root if tag(each) not in expected]
    if wrapper is None:
        return found
    result = root.find("{*}" + wrapper)
    if result is None:
        return [*found, f"{operation.name} has no {wrapper}"]
    return found + misfits(from_xml(result, shape), shape, operation.name)


def error_misfits(operation, protocol, status, headers, body):
    """An error has a code that the operation may answer with, with the status of that code, and a message."""
    if protocol == "json":
        error = json.loads(body)
        # SQS writes a namespace before it.
        code, message = error.get("__type", "").rpartition("#")[2], error.get("message")
    elif protocol == "rest-json":
        code, message = headers.get("x-amzn-errortype"), json.loads(body).get("Message")
    else:
        root = ElementTree.fromstring(body)
        error = root.find("{*}Errors/{*}Error" if protocol == "ec2" else "{*}Error")
        error = root.find("Errors/Error") if error is None and protocol == "ec2" else error
        texts = {tag(each): each.text or "" for each in error}
        code, message = texts.get("Code"), texts.get("Message")
        if protocol == "query" and texts.get("Type") != ("Receiver" if status >= 500 else "Sender"):
            return [f"{operation.name}: {code} is the fault of {texts.get('Type')}"]
    allowed = dict(COMMON_ERRORS[protocol])
    for shape in operation.error_shapes:
        modeled = shape.metadata.get("error", {})
        allowed[modeled.get("code", shape.name)] = modeled.get("httpStatusCode")
    if code not in allowed:
        return [f"{operation.name} answers with {code}"]
    # The json protocol says only whose fault it is: 400, or 500 for the service's.
    expected = allowed[code] or (500 if code in ("ServerException", "InternalErrorException") else 400)
    found = [] if status == expected else [f"{operation.name}: {code} has the status {status}, not {expected}"]
    return found if isinstance(message, str) else [*found, f"{operation.name}: {code} has no message"]


def tag(element):
    return element.tag.rpartition("}")[2]


def from_xml(element, shape):
    """An element as JSON would have it. What does not fit its shape stays text."""
    kind = shape.type_name if shape else "unknown"
    if kind == "structure":
        by_tag = {member.serialization.get("name", name): (name, member) for name, member in shape.members.items()}
        found = {}
        for child in element:
            name, member = by_tag.get(tag(child), (tag(child), None))
            found[name] = from_xml(child, member)
        return found
    if kind == "list":
        item = shape.member.serialization.get("name", "member")
        return [from_xml(child, shape.member) if tag(child) == item else tag(child) for child in element]
    return from_text(element.text or "", kind)


def from_text(text, kind):
    """A number or a truth value as the query protocols write it."""
    if kind in ("integer", "long") and text.removeprefix("-").isdecimal():
        return int(text)
    return text == "true" if kind == "boolean" and text in ("true", "false") else text


def misfits(value, shape, path):
    """What of a value its shape does not know, knows as another type, word, length or amount, or misses."""
    kind, bounds = shape.type_name, shape.metadata
    if not isinstance(value, TYPES[kind]) or isinstance(value, bool) != (kind == "boolean"):
        return [f"{path} is no {kind}: {value!r}"]
    if kind == "timestamp" and isinstance(value, str) and not is_time(value):
        return [f"{path} is no time: {value!r}"]
    if kind == "string" and shape.enum and value not in shape.enum:
        return [f"{path} is none of {shape.enum}: {value!r}"]
    size = value if kind in ("integer", "long") else len(value) if kind in ("string", "list") else None
    if size is not None and not bounds.get("min", size) <= size <= bounds.get("max", size):
        return [f"{path} is too small or too large: {value!r}"]
    if kind == "list":
        return [found for item in value for found in misfits(item, shape.member, path)]
    if kind == "map":
        return [found for key, item in value.items() for found in misfits(item, shape.value, f"{path}.{key}")]
    if kind != "structure":
        return []
    found = [f"{path}.{key} is missing" for key in shape.required_members if key not in value]
    for key, item in value.items():
        known = key in shape.members
        found += misfits(item, shape.members[key], f"{path}.{key}") if known else [f"{path}.{key} is unknown"]
    return found


def is_time(text):
    try:
        return datetime.datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def request_misfits(operation, body):
    """What of the body of a request does not fit the model of its operation."""
    shape = operation.input_shape
    if operation.service_model.resolved_protocol == "json":
        parameters, unknown = json.loads(body), []
    else:
        fields = dict(urllib.parse.parse_qsl(body, keep_blank_values=True))
        found = [] if fields.pop("Version", None) == operation.service_model.api_version else ["another Version"]
        del fields["Action"]
        parameters = from_form(fields, shape, "", operation.service_model.resolved_protocol) if shape else {}
        unknown = [*found, *(f"{operation.name}.{key} is unknown" for key in fields)]
    if shape is None:
        return unknown
    report = ParamValidator().validate(parameters, shape)
    found = unknown + misfits(parameters, shape, operation.name)
    return [*found, report.generate_report()] if report.has_errors() else found


def from_form(fields, shape, prefix, protocol):
    """The value that the fields below a prefix hold, which are taken out. `None` if there are none."""
    if shape.type_name == "structure":
        found = {}
        for name, member in shape.members.items():
            value = from_form(fields, member, f"{prefix}.{form_name(name, member, protocol)}".lstrip("."), protocol)
            if value is not None:
                found[name] = value
        return found or (None if prefix else {})
    if shape.type_name == "list":
        items, item = [], f"{prefix}." if protocol == "ec2" else f"{prefix}.member."
        while (value := from_form(fields, shape.member, f"{item}{len(items) + 1}", protocol)) is not None:
            items.append(value)
        return items or ([] if fields.pop(prefix, None) == "" else None)
    text = fields.pop(prefix, None)
    return None if text is None else from_text(text, shape.type_name)


def form_name(name, member, protocol):
    """EC2 writes the names of members with a capital, unless the model has one for the query."""
    if protocol != "ec2":
        return member.serialization.get("name", name)
    written = member.serialization.get("queryName") or member.serialization.get("name", name)
    return written[0].upper() + written[1:]
