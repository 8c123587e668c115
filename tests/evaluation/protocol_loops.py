"""Every protocol as its sentence says, image by image. Shares no code with the library."""

import math
import random
from collections import defaultdict


def excluded(protocol, q_pid, q_cam, pid, cam):
    """Whether an image is invisible to a query."""
    if protocol == "la-official":
        return False
    if pid == -1:
        return True
    if protocol in ("standard", "cuhk03-single-shot"):
        return pid == q_pid and cam == q_cam
    if protocol == "sysu":
        return q_cam == 2 and cam == 1
    return False


def ranking(distances, gallery):
    """Indices of some gallery images, nearest first, equal ones by index."""
    return sorted(gallery, key=lambda g: (distances[g], g))


def average_precision(ap, relevant):
    """From a list of booleans in the order of the ranking."""
    if ap == "top10":
        relevant = relevant[:10]
    hits, total = 0, 0.0
    for position, right in enumerate(relevant, start=1):
        if not right:
            continue
        before = 1.0 if position == 1 else hits / (position - 1)
        hits += 1
        precision = hits / position
        total += (before + precision) / 2 if ap == "trapezoid" else precision
    return total / hits if hits else 0.0


def one_query(protocol, ap, distances, q_pid, q_cam, g_pids, g_cams, among=None):
    """(AP, INP, rank of the first match) or None where the query is not counted."""
    seen = [
        g
        for g in (range(len(g_pids)) if among is None else among)
        if not excluded(protocol, q_pid, q_cam, g_pids[g], g_cams[g])
    ]
    ranked = ranking(distances, seen)
    relevant = [g_pids[g] == q_pid for g in ranked]
    if not any(relevant):
        return (0.0, 0.0, math.inf) if protocol == "la-official" else None
    last = max(i for i, right in enumerate(relevant, start=1) if right)
    if protocol == "sysu":  # keep the first image of each person
        people = []
        for g in ranked:
            if g_pids[g] not in people:
                people.append(g_pids[g])
        first = people.index(q_pid) + 1
    else:
        first = relevant.index(True) + 1
    return average_precision(ap, relevant), sum(relevant) / last, first


def all_queries(protocol, ap, distances, q_pids, g_pids, q_cams, g_cams, among=None):
    """`one_query` for each."""
    return [
        one_query(protocol, ap, row, pid, cam, g_pids, g_cams, among)
        for row, pid, cam in zip(distances, q_pids, q_cams, strict=True)
    ]


def agw_draw(pids, cams, trial, shots):
    """The gallery of a trial: seed, walk over sorted people and cameras, choose."""
    state = random.getstate()
    random.seed(trial)
    folders = defaultdict(list)
    for i, visit in enumerate(zip(pids, cams, strict=True)):
        if visit[0] != -1:
            folders[visit].append(i)
    drawn = []
    for pid in sorted({pid for pid, _ in folders}):
        for cam in sorted({cam for who, cam in folders if who == pid}):
            images = folders[pid, cam]
            if shots == 1:
                drawn.append(random.choice(images))
            else:
                drawn += random.sample(images, min(shots, len(images)))
    random.setstate(state)
    return sorted(drawn)
