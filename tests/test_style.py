from __future__ import annotations

import itertools
import subprocess
import sys

import numpy as np
import pytest

from jetlab import style
from jetlab.vocabulary import CLASSES, PARTICLE_TYPES

# G. Machado, M. Oliveira, L. Fernandes, IEEE TVCG 15 (2009) 1291: full protanopia and deuteranopia, linear RGB
EYES = {
    "usual": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
}
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def linear(colour: str) -> np.ndarray:
    rgb = np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)]) / 255
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def contrast(a: str, b: str) -> float:
    dark, light = sorted(float(TO_XYZ[1] @ linear(c)) for c in (a, b))
    return (light + 0.05) / (dark + 0.05)


def lab(rgb: np.ndarray) -> np.ndarray:
    xyz = TO_XYZ @ np.clip(rgb, 0, 1) / np.array([0.9505, 1.0, 1.089])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def closest(colours: list[str]) -> float:
    """Smallest CIE76 difference of any two colours for any eyes."""
    return min(
        float(np.linalg.norm(lab(eyes @ linear(a)) - lab(eyes @ linear(b))))
        for eyes in EYES.values()
        for a, b in itertools.combinations(colours, 2)
    )


@pytest.mark.parametrize("theme", style.THEMES)
def test_roles_are_legible_and_distinct_for_all_eyes(theme: str) -> None:
    background = style.THEMES[theme].background
    samples = style.sample_styles(["true", "generated", "a", "b", "c"], theme=theme)
    assert contrast(style.THEMES[theme].text, background) > 10
    assert all(contrast(s.colour, background) > 3 for s in samples.values())
    assert closest([s.colour for s in samples.values()]) > 15


@pytest.mark.parametrize("theme", style.THEMES)
def test_classes_are_distinct_from_each_other_and_from_the_roles(theme: str) -> None:
    assert tuple(style.CLASS_COLOURS) == CLASSES
    roles = [s.colour for s in style.sample_styles(["true", "generated"], theme=theme).values()]
    assert closest([*style.CLASS_COLOURS.values(), *roles]) > 12


def test_roles_keep_their_colours_wherever_they_stand() -> None:
    one = style.sample_styles(["other", "generated", "true", "third"])
    two = style.sample_styles(["true", "other", "third"], theme="dark")
    assert list(one) == ["other", "generated", "true", "third"]
    assert one["true"].colour == style.THEMES["light"].true
    assert one["generated"].colour == style.GENERATED
    assert one["other"] == two["other"]
    assert one["third"] == two["third"]
    assert two["true"].colour == style.THEMES["dark"].true
    assert len({(s.colour, s.line_dash) for s in one.values()}) == 4


def test_many_samples_stay_distinct() -> None:
    many = style.sample_styles([str(k) for k in range(10)])
    assert len({(s.colour, s.linestyle) for s in many.values()}) == 10


def test_class_colours_are_found_by_any_name() -> None:
    assert style.class_colour("Hbb") == style.class_colour("HToBB") == style.class_colour("label_Hbb")
    with pytest.raises(KeyError, match="unknown jet class 'top'"):
        style.class_colour("top")


def test_every_particle_type_has_its_own_marker() -> None:
    markers = [style.particle_marker(code) for code in range(len(PARTICLE_TYPES))]
    assert [m.label for m in markers] == list(PARTICLE_TYPES)
    assert len({m.matplotlib for m in markers}) == len({m.bokeh for m in markers}) == len(PARTICLE_TYPES)
    assert style.particle_marker(-1).label == "particle"


@pytest.mark.parametrize(
    ("z", "name"),
    [(-3, "calm"), (2, "calm"), (2.01, "attention"), (5, "attention"), (5.1, "alarm"), (float("nan"), "unknown")],
)
def test_verdicts(z: float, name: str) -> None:
    assert style.verdict(z).name == name


def test_verdicts_do_not_rest_on_colour() -> None:
    assert len({style.verdict(z).sign for z in (0, 3, 9, float("nan"))}) == 4


def test_unknown_theme_is_an_error() -> None:
    with pytest.raises(ValueError, match="unknown theme 'sepia'; expected one of light, dark"):
        style.sample_styles(["true"], theme="sepia")


def test_style_needs_no_plotting_package() -> None:
    code = "import sys, jetlab.style; sys.exit(any(m in sys.modules for m in ('matplotlib', 'bokeh', 'numpy')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_settings_are_known_to_matplotlib() -> None:
    import matplotlib as mpl

    assert set(style.figure_rc()) <= set(mpl.rcParams)
