"""Reading a config file, and explaining what is wrong with one."""

import re
from pathlib import Path
from typing import get_args

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from hitsong.config.base import Section, nearest
from hitsong.config.run import Config
from hitsong.errors import UserError

# Pydantic's messages in the words of a YAML file, and its names for the types of a setting.
_WORDS = {
    "^(Input|String|List) should be a valid dictionary.*": "must be a section of `key: value` lines",
    "^(Input|String|List|Value) should": "must", "a valid string": "text", "a valid (integer|number|list)": r"a \1",
    "a integer": "a whole number", "a list$": "a list [a, b]", "a valid boolean": "true or false",
    "have at least 1 (character|item).*": "not be empty", " after validation.*": "",
}  # fmt: skip
_TYPE_NAME = re.compile(r"(function-|literal\[|list\[|constrained-|str$|int$|float$|bool$)")


def load(path, overrides=()):
    """Read a config file and apply `key.path=value` overrides.

    Raises
    ------
    UserError
        If the file cannot be read, or a key or value is not one of ours: every fault on its own
        line, with the key's path and the nearest right name.
    """
    path = Path(path)
    try:
        content = parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such config file; the presets are in configs/") from None
    except (OSError, ValueError, YAMLError) as error:
        raise UserError(f"{path}: cannot be read as YAML: {' '.join(str(error).split())}") from None
    content = {} if content is None else content
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected `key: value` lines, found {type(content).__name__}")
    for override in overrides:
        _apply(content, override)
    try:
        return Config.model_validate(content)
    except ValidationError as error:
        raise UserError("\n".join(f"{path}: {line}" for line in _explain(error.errors()))) from None


def parse(text):
    """Parse YAML 1.2."""
    return YAML(typ="safe", pure=True).load(text)


def _apply(content, override):
    """Set one `key.path=value` in a nested dictionary."""
    key, sign, value = override.partition("=")
    if not sign or not key:
        raise UserError(f"--set {override}: expected key.path=value, for example --set collect.genre=hip-hop")
    try:
        value = parse(value)
    except (YAMLError, ValueError):  # ValueError: a day such as 2027-02-30
        raise UserError(f"--set {override}: the value is not valid YAML") from None
    *parents, last = key.strip().split(".")
    for parent in parents:
        content = content.setdefault(parent, {})
        if not isinstance(content, dict):
            raise UserError(f"--set {override}: {parent} is a value, not a section")
    content[last] = value


def _explain(faults):
    """Pydantic's faults as lines: where, what, and what was probably meant."""
    lines = {}
    for fault in faults:
        # A setting of several types has a fault for each, under a name of pydantic's own.
        location = [str(part) for part in fault["loc"] if not _TYPE_NAME.match(str(part))]
        where, given = ".".join(location) or "config", fault["input"]
        input_text = "" if isinstance(given, dict | BaseModel) else f" (found {given!r})"
        lines.setdefault((where, input_text), []).append(_message(fault, location))
    return [
        f"{where}: {' or '.join([first, *(m.removeprefix('must be ') for m in more)])}{input_text}"
        for (where, input_text), (first, *more) in lines.items()
    ]


def _message(fault, location):
    if fault["type"] == "extra_forbidden":
        return f"unknown key{nearest(location[-1], _keys(location[:-1]))}"
    if fault["type"] == "literal_error":
        allowed = fault["ctx"]["expected"].replace("'", "").replace(" or ", ", ").split(", ")
        close = nearest(fault["input"], allowed)
        return f"must be one of {', '.join(allowed)}{close if close.endswith('?') else ''}"
    message = fault["msg"].removeprefix("Value error, ")
    for theirs, ours in _WORDS.items():
        message = re.sub(theirs, ours, message)
    return message[0].lower() + message[1:]


def _keys(parents):
    """The keys of the section at a path; list indices count as part of the path."""
    section = Config
    for parent in parents:
        if not parent.isdigit():
            section = _section(section.model_fields[parent].annotation)
    return list(section.model_fields)


def _section(annotation):
    """The section in an annotation such as `Table | None` or `list[Fault]`."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next(filter(None, map(_section, get_args(annotation))), None)
