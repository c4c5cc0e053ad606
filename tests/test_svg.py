"""Figures on a page: lighter than their files, and drawn the same."""

import base64
import io
import re
import shutil
import subprocess

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from cortseq import svg
from cortseq.figures import style

BROWSER = next((found for name in ("chromium", "google-chrome") if (found := shutil.which(name))), "")
HEAD = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '


def _drawn(points: int = 400) -> str:
    """A figure with what weighs: points, a long line, a dense layer as a picture, text."""
    rng = np.random.default_rng(0)
    with style.style():
        figure = Figure(figsize=(3.5, 2), layout="constrained")
        ax = figure.subplots()
        ax.plot(*rng.normal(size=(2, points)), "o", ms=2, mfc="none")
        ax.plot(np.linspace(-3, 3, points), np.sin(np.arange(points)), lw=0.5)
        ax.plot(*rng.normal(size=(2, 50)), alpha=0.7, rasterized=True)
        ax.set_xlabel("a & b")
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()


def _numbers(path: str, places: int) -> np.ndarray:
    """Absolute points (n, 2) of a path with relative m and l."""
    scale, at, found = 10**places, np.zeros(2), []
    for values in re.findall(r"[ml]([^mlz]*)", svg.path(path, places)):
        steps = np.array([float(v) for v in re.findall(r"-?[\d.]+", values)]).reshape(-1, 2)
        for step in steps:
            at = np.round((at + step) * scale) / scale
            found.append(at)
    return np.array(found)


def test_a_path_is_relative_and_its_rounding_does_not_add_up():
    points = np.cumsum(np.random.default_rng(1).uniform(0.2, 0.8, (500, 2)), 0)
    absolute = "M " + " L ".join(f"{x:.6f} {y:.6f}" for x, y in points)
    assert np.abs(_numbers(absolute, 1) - points).max() <= 0.05 + 1e-9
    assert len(svg.path(absolute, 1)) < 0.5 * len(absolute)


def test_curves_closed_paths_and_points_of_no_length():
    assert svg.path("M 1 1 L 2 3 z M 0 0 L 0 0", 1) == "m1 1l1 2zm-1-1l0 0"
    assert svg.path("M 0 1.75 C 0.464105 1.75 0.909265 1.565609 1.237437 1.237437", 2) == (
        "m0 1.75c0.46 0 0.91-0.18 1.24-0.51"
    )


def test_ids_are_those_of_one_figure_and_only_where_they_are_referred_to():
    drawn = f'{HEAD}width="10pt" height="5pt"><defs/><g id="lost"><clipPath id="kept"/></g>'
    drawn += '<path d="M 0.98765 2" style="opacity: 0.98765" clip-path="url(#kept)"/></svg>'
    styles = svg.Styles()
    one, two = (svg.light(drawn, name, "A & b", styles) for name in ("one", "two"))
    ids = [set(re.findall(r'\bid="([^"]+)"', text)) for text in (one, two)]
    assert [len(found) for found in ids] == [1, 1] and ids[0] != ids[1]
    (name,) = ids[0]
    assert f'clip-path="url(#{name})"' in one and 'd="m1 2"' in one
    assert 'aria-label="A &amp; b"' in one and "--width:10pt" in one and "height=" not in one
    assert styles.css == "svg .s0{opacity:0.98765}"  # one class for both


def test_equal_markers_become_one_path_and_each_keeps_its_place():
    use = "".join(
        f'<use xlink:href="#dot" x="{i}.04" y="{2 * i}" style="fill: #ff0000"/>' for i in range(1, 7)
    )
    shape = '<defs><path id="dot" d="M 0 1.25 L 1 0 z"/></defs>'
    styles = svg.Styles()
    light = svg.light(f'{HEAD}width="9pt"><defs/><g>{shape}<g>{use}</g></g></svg>', "f", "t", styles)
    assert light.count("<use") == 0 and light.count("<marker") == 1
    assert 'd="m1 2l1 2 1 2 1 2 1 2 1 2"' in light and 'd="m0 1.25l1-1.25z"' in light
    assert "fill:#ff0000" in styles.css


def test_markers_that_were_moved_are_not_joined():
    uses = ['<use xlink:href="#dot" x="1" y="1" transform="translate(5.0 5.0)"/>']
    uses += [f'<use xlink:href="#dot" x="{i}" y="1"/>' for i in range(2, 5)]
    shape = '<defs><path id="dot" d="M 0 0 L 1 1 z"/></defs>'
    drawn = f'{HEAD}width="9pt"><defs/><g>{shape}<g>{"".join(uses)}</g></g></svg>'
    assert svg.light(drawn, "f", "t", svg.Styles()).count("<use") == 4


def test_ids_of_one_letter_and_scales_of_pictures():
    drawn = f'{HEAD}width="9pt"><defs/><defs><path id="r" d="M 0 0 L 1 1 z"/></defs>'
    drawn += '<path d="M 0 0 L 5 5" clip-path="url(#r)"/><image transform="matrix(0.0123 0 0 0.0123 2 3.25)"/></svg>'
    light = svg.light(drawn, "f", "t", svg.Styles())
    (name,) = re.findall(r'clip-path="url\(#([^)]+)\)"', light)
    assert name.startswith("f") and "matrix(0.0123 0 0 0.0123 2 3.25)" in light


def test_a_picture_keeps_its_colours_and_opaque_stays_opaque():
    pixels = np.zeros((40, 40, 4), np.uint8)
    pixels[..., 0], pixels[..., 3] = 200, np.arange(1600).reshape(40, 40) % 256
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=0)
    link = "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
    shorter = svg._with_palette(link)
    assert len(shorter) < len(link)
    found = np.asarray(
        Image.open(io.BytesIO(base64.b64decode(shorter.split(",")[1]))).convert("RGBA")
    ).astype(int)
    assert (found[pixels[..., 3] > 20][:, 0] == 200).all() and (
        found[pixels[..., 3] == 255][:, 3] == 255
    ).all()
    assert np.abs(found[..., 3] - pixels[..., 3]).max() <= 9


def test_a_drawn_figure_is_a_third_as_large_and_its_text_is_text():
    whole, styles = _drawn(), svg.Styles()
    light = svg.light(whole, "figure", "title", styles)
    assert len(light) + len(styles.css) < len(whole) / 3
    assert ">a &amp; b<" in light and "<metadata" not in light and "xlink" not in light


def _shot(page: str, folder, name: str) -> np.ndarray:
    (folder / f"{name}.html").write_text(f"<meta charset=utf-8><body style='margin:0'>{page}")
    words = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=700,400"]
    target = f"--screenshot={folder / name}.png"
    subprocess.run(
        [BROWSER, *words, target, (folder / f"{name}.html").as_uri()],
        check=True,
        timeout=120,
        capture_output=True,
    )
    return np.asarray(Image.open(folder / f"{name}.png").convert("L")).astype(int)


@pytest.mark.skipif(not BROWSER, reason="no browser")
def test_a_browser_draws_the_light_figure_as_the_whole_one(tmp_path):
    whole, styles = _drawn(), svg.Styles()
    light = svg.light(whole, "figure", "title", styles)
    rules = "svg{width:700px;height:400px}svg *{stroke-linejoin:round;stroke-linecap:butt}"
    rules += f"svg .dots{{fill:none;stroke:none}}{styles.css}"
    one = _shot(f"<style>{rules}</style>{light}", tmp_path, "light")
    other = _shot(
        f"<style>svg{{width:700px;height:400px}}</style>{whole[whole.index('<svg') :]}", tmp_path, "whole"
    )
    assert (other < 200).sum() > 5000  # something is drawn
    assert np.abs(one - other).mean() < 1.5 and (np.abs(one - other) > 128).mean() < 0.005
