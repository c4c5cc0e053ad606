"""Study files as YAML: a key given twice, another encoding and anchors that explode are one line each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from cortseq.errors import CortseqError, about

_BYTES = 1_000_000  # of a study file
_NODES = 50_000  # of its content with every anchor written out
_DEEPEST = 40


class _Loader(yaml.SafeLoader):
    """Loads plain YAML, one value per key."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    """Return a mapping; a key that is given twice is an error (one that comes by `<<` may be given again)."""
    seen: set[Any] = set()
    for key, _ in node.value:
        if key.tag == "tag:yaml.org,2002:merge":
            continue
        name = loader.construct_object(key, deep=True)
        if not isinstance(name, str | int | float | bool | type(None)):
            raise yaml.constructor.ConstructorError(None, None, "a key is no text", key.start_mark)
        if name in seen:
            line = key.start_mark.line + 1
            raise CortseqError(f"is there twice (line {line})", key=str(name), fix="rename or remove one")
        seen.add(name)
    loader.flatten_mapping(node)
    return {
        loader.construct_object(k, deep=True): loader.construct_object(v, deep=True) for k, v in node.value
    }


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)


def load(path: Path) -> Any:
    """Return the content of a YAML file.

    Raises
    ------
    CortseqError : not readable, not UTF-8, too large, not YAML, or a key given twice.
    """
    try:
        if path.stat().st_size > _BYTES:
            raise CortseqError(
                f"is larger than {_BYTES // 1000} kB: no study", file=path, fix="check the path"
            )
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CortseqError(
            f"is not UTF-8 text (byte {error.start})", file=path, fix="save it as UTF-8"
        ) from error
    except OSError as error:
        raise CortseqError(f"cannot be read ({error.strerror})", file=path, fix="check the path") from error
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _size(node, {}, 0, path)
        with about(path):
            return loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        where = f" in line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise CortseqError(f"is not YAML: {error.problem}{where}", file=path) from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise CortseqError(f"is not YAML: {' '.join(str(error).split())}", file=path) from None
    except RecursionError:
        raise CortseqError("is nested too deeply", file=path) from None


def _size(node: yaml.Node, known: dict[int, int], depth: int, path: Path) -> int:
    """Return the number of nodes with every anchor written out; CortseqError where there are too many."""
    if depth > _DEEPEST:
        raise CortseqError("is nested too deeply, or an anchor holds itself", file=path, fix="write it out")
    if id(node) in known:
        return known[id(node)]
    children: list[yaml.Node] = []
    if isinstance(node, yaml.MappingNode):
        children = [part for pair in node.value for part in pair]
    elif isinstance(node, yaml.SequenceNode):
        children = node.value
    total = 1 + sum(_size(child, known, depth + 1, path) for child in children)
    if total > _NODES:
        raise CortseqError(f"has more than {_NODES} entries once its anchors are written out", file=path)
    known[id(node)] = total
    return total


def text(content: dict[str, Any]) -> str:
    """Return a study as short YAML: a line for each setting, each dataset and each model."""
    lines = []
    for key, value in content.items():
        if isinstance(value, dict) and value:
            lines += [f"{key}:", *(f"  {name}: {_flow(entry)}" for name, entry in value.items())]
        else:
            lines.append(f"{key}: {_flow(value)}")
    return "\n".join(lines) + "\n"


def _flow(value: Any) -> str:
    written = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=1e9)
    return written.removesuffix("...\n").strip()
