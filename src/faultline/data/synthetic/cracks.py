"""Where cracks run, how wide they gape and how dark they are: a plan of strokes, not yet pixels."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np

from faultline.data.synthetic.noise import FloatArray, Shape
from faultline.data.synthetic.paths import (
    STEP,
    Edge,
    cell_network,
    direction,
    fractal_path,
    walk_path,
)
from faultline.data.synthetic.strokes import Stroke, broken, ragged_stroke, taper, widened


@dataclass
class _Plan:
    """Strokes so far, how much of the picture they and the target cover, what cracks look like."""

    rng: np.random.Generator
    shape: Shape
    scale: float
    target: float
    ragged: float
    darkness: float
    strokes: list[Stroke]
    covered: float = 0.0

    def add(self, strokes: list[Stroke]) -> None:
        self.strokes += strokes
        self.covered += sum(stroke.area(self.shape) for stroke in strokes)


def plan_cracks(rng: np.random.Generator, shape: Shape, surface: str, scale: float) -> list[Stroke]:
    """Cracks of a picture of `shape` (H, W) that cover about 1-4 % of it.

    Args:
        rng: Source of randomness.
        shape: (H, W) in pixels.
        surface: "concrete" or "asphalt"; alligator cracking is an asphalt matter.
        scale: Size of things relative to a picture of 320x480.
    """
    share = float(np.clip(rng.lognormal(math.log(0.0165), 0.33), 0.0105, 0.032))
    # Coarse stones leave ragged lips, cement paste clean ones.
    ragged = rng.uniform(0.25, 0.5) if surface == "asphalt" else rng.uniform(0.12, 0.35)
    # Photographs of roads show cracks 10-35 grey levels below the surface, of walls 5-90.
    darkness = rng.uniform(0.27, 0.68) if surface == "asphalt" else rng.uniform(0.3, 0.9)
    plan = _Plan(rng, shape, scale, share * shape[0] * shape[1], ragged, darkness, [])
    if rng.random() < (0.2 if surface == "asphalt" else 0.08):
        _network(plan, fine=surface == "concrete")
    else:
        _trunk_and_branches(plan)
    factor = float(np.clip(plan.target / max(plan.covered, 1), 0.65, 1.8))
    return [widened(stroke, factor) for stroke in plan.strokes]


def _trunk_and_branches(plan: _Plan) -> None:
    """One or more cracks across the picture, with branches, until the target is covered."""
    rng = plan.rng
    width = float(np.clip(rng.lognormal(math.log(2.3), 0.4), 1.3, 6.5)) * max(plan.scale, 0.55)
    tone = plan.darkness
    heading = rng.uniform(0, math.pi)
    kink = rng.uniform(0.08, 0.3)
    trunks: list[Stroke] = []
    for _ in range(8):
        meets = _meeting_point(rng, trunks, plan.shape)
        trunk = _trunk(plan, heading + rng.normal(0, 0.25), width, tone, kink, meets)
        trunks.append(trunk)
        plan.add(broken(rng, trunk, plan.scale))
        if rng.random() < 0.3:
            plan.add(_island(plan, trunk))
        _branches(plan, trunk, depth=2)
        if plan.covered > 0.75 * plan.target:
            return
        width = max(1.1, width * rng.uniform(0.45, 0.9))
        tone *= rng.uniform(0.6, 1)
        heading += rng.choice((0, rng.uniform(0.6, math.pi - 0.6)), p=(0.35, 0.65))


def _meeting_point(
    rng: np.random.Generator, trunks: list[Stroke], shape: Shape
) -> FloatArray | None:
    """A point (x, y) of an earlier crack at which a new one ends: cracks seldom cross."""
    if not trunks or rng.random() < 0.2:
        return None
    path = trunks[int(rng.integers(len(trunks)))].path
    seen = [point for point in path if _inside(point, shape)]
    if not seen:
        return None
    point: FloatArray = seen[int(rng.integers(len(seen)))]
    return point


def _trunk(
    plan: _Plan, heading: float, width: float, tone: float, kink: float, meets: FloatArray | None
) -> Stroke:
    """A crack from border to border, or from `meets` to it; one in three ends in the picture."""
    rng, (height, span) = plan.rng, plan.shape
    centre = np.array([rng.uniform(0.2, 0.8) * span, rng.uniform(0.2, 0.8) * height])
    centre = centre if meets is None else meets
    way = rng.choice((-1, 1)) * np.array([math.cos(heading), math.sin(heading)])
    reach = [_to_border(centre, sign * way, plan.shape) + 12 for sign in (-1, 1)]
    ends_inside = rng.random() < 0.33
    if meets is not None:
        reach[0] = 0
    if ends_inside:
        reach[1] *= rng.uniform(0.3, 0.8)
    start, end = centre - reach[0] * way, centre + reach[1] * way
    path = fractal_path(
        rng, (start[0], start[1]), (end[0], end[1]), rng.uniform(0.04, 0.11),
        bow=rng.normal(0, 0.06) * sum(reach), kink=kink,
    )  # fmt: skip
    widths = width * taper(len(path), 0, 0.5 if ends_inside else 0)
    return _stroke(plan, path, widths, tone)


def _to_border(point: FloatArray, way: FloatArray, shape: Shape) -> float:
    """Pixels from `point` along the unit vector `way` to the border of the picture."""
    limits = [
        ((length if step > 0 else 0) - start) / step
        for start, step, length in zip(point, way, (shape[1], shape[0]), strict=True)
        if abs(step) > 1e-6
    ]
    return float(min(limits))


def _branches(plan: _Plan, parent: Stroke, depth: int) -> None:
    """Side cracks that leave `parent` at an angle and taper to a tip; they branch again."""
    rng, size = plan.rng, min(plan.shape)
    length_of_parent = STEP * len(parent.path)
    for _ in range(int(rng.poisson(1.3 * length_of_parent / size))):
        index = int(rng.integers(len(parent.path) // 12, len(parent.path)))
        width = float(parent.left[index] + parent.right[index]) * rng.uniform(0.45, 0.85)
        full = plan.covered > 1.1 * plan.target
        if full or width < 1.0 or not _inside(parent.path[index], plan.shape):
            continue
        side = rng.choice((-1, 1)) * rng.uniform(0.35, 1.25)
        length = float(np.clip(rng.lognormal(math.log(0.28), 0.6), 0.1, 0.9)) * size
        x, y = parent.path[index]
        angle = direction(parent.path, index) + side
        path = walk_path(rng, (float(x), float(y)), angle, length, rng.uniform(0.35, 0.65))
        tone = float(parent.tone[index]) * rng.uniform(0.65, 1)
        branch = _stroke(plan, path, width * taper(len(path), 0, 0.9), tone)
        plan.add(broken(rng, branch, plan.scale) if rng.random() < 0.4 else [branch])
        if depth > 1:
            _branches(plan, branch, depth - 1)


def _island(plan: _Plan, parent: Stroke) -> list[Stroke]:
    """A second arm that leaves `parent` and joins it again further on."""
    rng, count = plan.rng, len(parent.path)
    length = int(rng.uniform(0.06, 0.25) * count)
    first = int(rng.integers(count // 8, max(count // 8 + 1, count - length - 1)))
    start, end = parent.path[first], parent.path[min(first + length, count - 1)]
    bow = rng.choice((-1, 1)) * rng.uniform(0.12, 0.35) * length * STEP
    path = fractal_path(
        rng, (float(start[0]), float(start[1])), (float(end[0]), float(end[1])), 0.1, float(bow)
    )
    width = float(parent.left[first] + parent.right[first]) * rng.uniform(0.4, 0.8)
    return [_stroke(plan, path, np.full(len(path), width, np.float32), float(parent.tone[first]))]


def _network(plan: _Plan, fine: bool) -> None:
    """Alligator cracking (or fine map cracking): cell outlines around one place, thinning out."""
    rng, (height, width) = plan.rng, plan.shape
    spacing = rng.uniform(34, 62) * max(plan.scale, 0.45)
    edges = cell_network(rng, plan.shape, spacing)
    centre = np.array([rng.uniform(0.2, 0.8) * width, rng.uniform(0.2, 0.8) * height])
    stretch = np.array([rng.uniform(0.6, 1.0), rng.uniform(1.0, 1.5)])
    middles = np.array([np.add(a, b) / 2 for a, b in edges])
    distance = np.hypot(*((middles - centre) * stretch).T)
    distance += 0.6 * spacing * rng.standard_normal(len(edges))
    plan.target *= 1.25
    # Total length wanted, from the mean width of what is drawn below.
    base = (1.3 if fine else 2.0) * max(plan.scale, 0.55)
    ranked = [edges[index] for index in np.argsort(distance) if rng.random() > 0.14]
    kept = _joined(ranked[: _edges_needed(ranked, plan, 0.8 * base)])
    ends = Counter(_node(point) for edge in kept for point in edge)
    for rank, (start, end) in enumerate(kept):
        # The border of the area is where cracks are young and thin.
        age = 1 - 0.5 * rank / len(kept)
        path = fractal_path(rng, start, end, rng.uniform(0.08, 0.2), kink=0.2)
        free = [0.8 if ends[_node(point)] == 1 else 0.0 for point in (start, end)]
        local = max(1.0, base * age * float(np.clip(rng.lognormal(0, 0.25), 0.6, 1.6)))
        widths = local * taper(len(path), free[0], free[1])
        plan.add([_stroke(plan, path, widths, plan.darkness * (0.5 + age / 2))])


def _edges_needed(ranked: list[Edge], plan: _Plan, width: float) -> int:
    """How many of the edges, from the first on, cover the target at `width` pixels."""
    total, height, span = 0.0, *plan.shape
    for index, (start, end) in enumerate(ranked):
        seen = sum(0 <= x < span and 0 <= y < height for x, y in (start, end)) / 2
        total += seen * width * math.dist(start, end)
        if total > plan.target:
            return index + 1
    return len(ranked)


def _joined(edges: list[Edge]) -> list[Edge]:
    """The edges that touch at least one other."""
    ends = Counter(_node(point) for edge in edges for point in edge)
    return [edge for edge in edges if any(ends[_node(point)] > 1 for point in edge)] or edges


def _node(point: tuple[float, float]) -> tuple[int, int]:
    return round(8 * point[0]), round(8 * point[1])


def _stroke(plan: _Plan, path: FloatArray, width: FloatArray, tone: float) -> Stroke:
    return ragged_stroke(plan.rng, path, width, tone, plan.ragged, plan.scale)


def _inside(point: FloatArray, shape: Shape) -> bool:
    return bool(0 <= point[0] < shape[1] and 0 <= point[1] < shape[0])
