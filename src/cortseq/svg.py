"""Figures as a page holds them: every element that was drawn, in far fewer bytes than matplotlib writes.

The rule is the same for all figures. Text stays text and lines stay lines; the files beside the report keep
every digit. Ids that nothing refers to go, styles become classes that figures share (`Styles`), equal markers
in a row become one path, coordinates have one decimal (0.1 pt) and pictures inside a figure have a palette.
"""

from __future__ import annotations

import base64
import io
import re
import zlib
from collections.abc import Iterator
from xml.etree import ElementTree as ET

import numpy as np

_SVG, _LINK = "http://www.w3.org/2000/svg", "{http://www.w3.org/1999/xlink}href"
_GROUP, _USE, _PATH, _IMAGE, _DEFS, _MARKER = (
    f"{{{_SVG}}}{tag}" for tag in ("g", "use", "path", "image", "defs", "marker")
)
_REFERENCE = re.compile(r"(#)([^)\"]+)")
_NUMBER = re.compile(r"-?\d+\.\d+")
_PLACES = 1  # decimals of points (1/72 inch): a tenth of one is less than a pixel of a screen
_SHAPE_PLACES = 2  # of markers, which are a few points wide
_SHAPES = (_DEFS, _MARKER)
_FEWEST_MARKERS = 4  # in a row, from which on one path is shorter than as many elements
_OPACITIES = 15  # steps of opacity of the pictures inside a figure: the soft edges of lines need no more


class Styles:
    """Styles of elements as classes with short names, shared by all figures of a page."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def name(self, style: str) -> str:
        """Return the class of a style attribute."""
        rules = sorted(" ".join(rule.split()).replace(": ", ":") for rule in style.split(";") if rule.strip())
        return self._names.setdefault(";".join(rules), f"s{len(self._names):x}")

    @property
    def css(self) -> str:
        """Return the rules of all classes that were asked for."""
        return "\n".join(f"svg .{name}{{{rules}}}" for rules, name in self._names.items())


def light(svg: str, name: str, title: str, styles: Styles) -> str:
    """Return the SVG of a figure for a page with others.

    Parameters
    ----------
    svg : as matplotlib wrote it.
    name : of the figure; ids begin with a number made of it, so that no two figures share one.
    title : what is read aloud in place of the drawing.
    styles : of the page; its rules must stand on the page, too.
    """
    root = ET.fromstring(svg[svg.index("<svg") :])
    for child in root.findall(f"{{{_SVG}}}metadata") + root.findall(_DEFS)[:1]:
        root.remove(child)  # the writer's name, and a rule for line ends, which is in report.css
    prefix = f"f{zlib.crc32(name.encode()):x}"
    _without_unused_ids(root, f"{prefix}-")
    _flatten(root)
    _join_markers(root, f"{prefix}m")
    _without_unused_shapes(root)
    shapes = {part for tag in _SHAPES for whole in root.iter(tag) for part in whole.iter(_PATH)}
    for element in root.iter():
        _shorten(element, styles, _SHAPE_PLACES if element in shapes else _PLACES)
    width = root.get("width", "")
    kept = {key: root.attrib[key] for key in ("viewBox",) if key in root.attrib}
    root.attrib.clear()
    root.attrib |= {"role": "img", "aria-label": title, "style": f"--width:{width}", **kept}
    return ET.tostring(root, encoding="unicode").replace(" />", "/>")


def _without_unused_ids(root: ET.Element, prefix: str) -> None:
    """Shorten ids that something refers to, and remove the others."""
    used: dict[str, str] = {}
    for element in root.iter():
        for key in (_LINK, "clip-path"):
            if (value := element.get(key, "")) and not value.startswith("data:"):
                old = _REFERENCE.search(value)[2]  # type: ignore[index]  # a reference has one
                new = used.setdefault(old, f"{prefix}{len(used)}")
                element.set(key, value.replace(f"#{old}", f"#{new}"))
    for element in root.iter():
        if (old := element.attrib.pop("id", "")) in used:
            element.set("id", used[old])


def _flatten(parent: ET.Element) -> None:
    """Remove groups that say nothing, and join neighbours that say the same."""
    for child in parent:
        _flatten(child)
    children: list[ET.Element] = []
    for child in parent:
        child.tail = None if parent.tag == _GROUP or child.tag == _GROUP else child.tail
        if child.tag == _GROUP and not child.attrib:
            children += child
        elif child.tag == _GROUP and children and _alike(children[-1], child):
            children[-1].extend(child)
        else:
            children.append(child)
    parent[:] = children


def _alike(a: ET.Element, b: ET.Element) -> bool:
    """Return whether two groups do nothing but clip, and clip alike."""
    return a.tag == b.tag and a.attrib == b.attrib and set(a.attrib) == {"clip-path"}


def _join_markers(root: ET.Element, prefix: str) -> None:
    """Write equal markers in a row as one path that has the marker at each of its points."""
    shapes = {element.get("id"): element for element in root.iter(_PATH) if element.get("id")}
    made: dict[tuple[str, str], str] = {}
    for parent in [root, *root.iter(_GROUP)]:
        children: list[ET.Element] = []
        for run in _runs(list(parent)):
            if len(run) < _FEWEST_MARKERS:
                children += run
                continue
            look = run[0].get(_LINK, ""), run[0].get("style", "")
            if look not in made:
                made[look] = f"{prefix}{len(made)}"
                children.append(_marker(made[look], shapes[look[0][1:]], look[1]))
            at = [f"{use.get('x')} {use.get('y')}" for use in run]
            url = f"url(#{made[look]})"
            places = {f"marker-{where}": url for where in ("start", "mid", "end")}
            children.append(ET.Element(_PATH, {"d": f"M {' L '.join(at)}", "class": "dots", **places}))
        parent[:] = children


def _without_unused_shapes(root: ET.Element) -> None:
    """Remove the definitions of markers that no element draws any longer."""
    drawn = {use.get(_LINK, "")[1:] for use in root.iter(_USE)}
    for parent in list(root.iter()):
        for defs in parent.findall(_DEFS):
            defs[:] = [shape for shape in defs if shape.tag != _PATH or shape.get("id") in drawn]
            if not len(defs):
                parent.remove(defs)


def _runs(elements: list[ET.Element]) -> Iterator[list[ET.Element]]:
    """Return neighbours that are the same marker in the same style together, all others alone."""
    run: list[ET.Element] = []
    for element in elements:
        plain = all(e.tag == _USE and "transform" not in e.attrib for e in (element, *run[:1]))
        if (
            run
            and plain
            and all(element.get(key) == run[0].get(key) for key in (_LINK, "style", "clip-path"))
        ):
            run.append(element)
            continue
        if run:
            yield run
        run = [element]
    if run:
        yield run


def _marker(name: str, shape: ET.Element, style: str) -> ET.Element:
    """Return the definition of a marker `name` that draws `shape` in a style."""
    kept = {"id": name, "markerUnits": "userSpaceOnUse", "overflow": "visible"}
    marker = ET.Element(_MARKER, kept)
    group = ET.SubElement(marker, _GROUP, {"style": style})
    ET.SubElement(group, _PATH, {key: value for key, value in shape.attrib.items() if key != "id"})
    return marker


def _shorten(element: ET.Element, styles: Styles, places: int) -> None:
    """Shorten one element: its blanks, numbers (`places` decimals), style and picture."""
    if element.text and not element.text.strip():
        element.text = None
    if element.tail and not element.tail.strip():
        element.tail = None
    if style := element.attrib.pop("style", ""):
        element.set("class", styles.name(style))
    if element.tag == _PATH and "d" in element.attrib:
        element.set("d", path(element.attrib["d"], places))
    for key in ("x", "y"):
        if key in element.attrib and element.tag != _IMAGE:
            element.set(key, _rounded(element.attrib[key], places))
    transform = element.get("transform", "")
    if transform and "matrix" not in transform:  # the scale of a picture is a small number
        moved = _NUMBER.sub(lambda found: _rounded(found[0], _SHAPE_PLACES), transform)
        element.set("transform", moved)
        if re.match(r"rotate\(-?0 ", moved):
            del element.attrib["transform"]
    if link := element.attrib.pop(_LINK, ""):
        element.set("href", _with_palette(link) if link.startswith("data:image/png") else link)
    element.tag = element.tag.removeprefix(f"{{{_SVG}}}")  # a page of HTML needs no namespaces


def _rounded(number: str, places: int) -> str:
    return _written(round(float(number) * 10**places), places)


def _written(scaled: int, places: int) -> str:
    """Return a number that is given in units of its last decimal, without zeros that say nothing."""
    return (
        f"{scaled / 10**places:.{places}f}".rstrip("0").rstrip(".")
        if scaled % 10**places
        else str(scaled // 10**places)
    )


def path(d: str, places: int) -> str:
    """Return the data of a path with rounded coordinates, each relative to the point before it.

    Parameters
    ----------
    d : absolute commands M, L, C, Q and z, as matplotlib writes them.
    places : decimals; the differences are those of rounded points, so that errors do not add up.
    """
    out: list[str] = []
    at = begin = (0, 0)
    last = ""
    for command, text in re.findall(r"([MLCQzZ])([^MLCQzZ]*)", d):
        if command in "zZ":
            out.append("z")
            at, last = begin, "z"
            continue
        scaled = [round(float(v) * 10**places) for v in text.replace(",", " ").split()]
        points = list(zip(scaled[::2], scaled[1::2], strict=True))
        if command == "L" and points[-1] == at and last == "l":
            continue  # no longer than nothing
        moved = [_written(v - a, places) for point in points for v, a in zip(point, at, strict=True)]
        relative = command.lower()
        continues = relative == last != "m"
        out.append(("" if continues else relative) + _joined(moved, continues))
        at, last = points[-1], relative
        begin = at if command == "M" else begin
    return "".join(out)


def _joined(numbers: list[str], continues: bool) -> str:
    """Return numbers with a blank only where no minus separates them."""
    text = "".join(n if n.startswith("-") else f" {n}" for n in numbers)
    return text if continues else text.lstrip()


def _with_palette(link: str) -> str:
    """Return a picture (PNG as a data link) with a palette where that is shorter."""
    from PIL import Image

    head, data = link.split(",", 1)
    pixels = np.array(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGBA"))
    pixels[..., 3] = np.rint(np.rint(pixels[..., 3] * (_OPACITIES / 255)) * (255 / _OPACITIES))
    pixels[pixels[..., 3] == 0] = 0
    colours, index = np.unique(pixels.reshape(-1, 4).view(np.uint32), return_inverse=True)
    if len(colours) <= 256:
        small = Image.fromarray(index.reshape(pixels.shape[:2]).astype(np.uint8), "P")
        small.putpalette(colours.view(np.uint8).tobytes(), "RGBA")
    else:
        small = Image.fromarray(pixels).quantize(256, Image.Quantize.FASTOCTREE)
    file = io.BytesIO()
    small.save(file, "PNG", optimize=True)
    shorter = base64.b64encode(file.getvalue()).decode()
    return f"{head},{shorter}" if len(shorter) < len(data) else link
