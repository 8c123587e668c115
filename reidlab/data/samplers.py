"""Which images form a batch. Deterministic by (seed, epoch); `set_epoch` before each epoch."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch.utils.data import Sampler


class _PeopleSampler(Sampler[list[int]]):
    """What samplers of batches of P people with K images each have in common."""

    drop_last = True  # every batch is full; Accelerate asks when it shares them out
    fewest, step, needs = 1, 1, "at least 1 of each"  # P; K is a multiple; the same in words
    _planned: tuple[int, list[list[int]]] | None = None  # an epoch and its batches

    def __init__(
        self, people: ArrayLike, identities_per_batch: int, images_per_identity: int, seed: int = 0
    ) -> None:
        too_few = identities_per_batch < self.fewest or images_per_identity < self.step
        if too_few or images_per_identity % self.step:
            raise ValueError(
                f"identities_per_batch is {identities_per_batch} and images_per_identity "
                f"{images_per_identity}, expected {self.needs}"
            )
        who = np.asarray(people)
        self.images_of = [np.flatnonzero(who == person) for person in np.unique(who)]
        if len(self.images_of) < identities_per_batch:
            raise ValueError(
                f"the training split has {len(self.images_of)} people, but a batch needs "
                f"identities_per_batch={identities_per_batch}: lower it, or train on more people"
            )
        self.identities_per_batch = identities_per_batch
        self.images_per_identity = images_per_identity
        self.batch_size = identities_per_batch * images_per_identity
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next pass."""
        self.epoch = epoch


class IdentitySampler(_PeopleSampler):
    """Batches of P people with K images each, for losses that compare images within a batch.

    As in TransReID: the images of each person are shuffled and cut into groups of K (people with
    fewer than K images draw K with replacement; a last group that is not full is left out); each
    batch takes one group from each of P people drawn at random; the epoch ends when fewer than P
    people have a group left. So an epoch does not show every image.

    The images of a person stand side by side in a batch: cut into N equal pieces, as under several
    processes, it falls into shares of P / N whole people where N divides P.

    Args:
        people: (N,) person of each image.
        identities_per_batch: P.
        images_per_identity: K.
        seed: of the order.

    Raises:
        ValueError: fewer than P people, or P or K below 1.
    """

    def __iter__(self) -> Iterator[list[int]]:
        return iter([list(batch) for batch in self._batches()])

    def __len__(self) -> int:
        """Batches of the present epoch, exactly; it may differ a little between epochs."""
        return len(self._batches())

    def _batches(self) -> list[list[int]]:
        if self._planned is None or self._planned[0] != self.epoch:
            self._planned = (self.epoch, self._plan())
        return self._planned[1]

    def _plan(self) -> list[list[int]]:
        rng = np.random.default_rng([self.seed, self.epoch])
        groups = [self._groups(images, rng) for images in self.images_of]
        available = list(range(len(groups)))
        batches = []
        while len(available) >= self.identities_per_batch:
            chosen = rng.choice(available, self.identities_per_batch, replace=False)
            batches.append([index for person in chosen for index in groups[person].pop()])
            available = [person for person in available if groups[person]]
        return batches

    def _groups(self, images: np.ndarray, rng: np.random.Generator) -> list[list[int]]:
        k = self.images_per_identity
        if len(images) < k:
            return [rng.choice(images, k, replace=True).tolist()]
        shuffled = rng.permutation(images).tolist()
        return [shuffled[i : i + k] for i in range(0, len(shuffled) - k + 1, k)]


class CrossModalSampler(_PeopleSampler):
    """Batches of P people with K / 2 visible and K / 2 infrared images each.

    As in AGW and most of its followers (Ye et al., TPAMI 2021): every batch draws P people anew,
    and of each modality K / 2 of their images (without replacement, as PMT does, where they have so
    many); an epoch is as long as the larger modality, a number of batches and not a pass.

    Somebody without images of one modality has K of the other, so the losses within it and the
    classifier see them, and is told of in a warning. One person of a batch at least has both.
    The images of a person stand side by side, see `IdentitySampler`.

    Args:
        people: (N,) person of each image; a message calls them so.
        infrared: (N,) whether it is an infrared one.
        identities_per_batch: P.
        images_per_identity: K, even.
        seed: of the order.

    Raises:
        ValueError: fewer than P people, nobody with both modalities, P below 1 or an odd K.
    """

    step, needs = 2, "at least 1 person and an even number of images, half of them infrared"

    def __init__(
        self,
        people: ArrayLike,
        infrared: ArrayLike,
        identities_per_batch: int,
        images_per_identity: int,
        seed: int = 0,
    ) -> None:
        super().__init__(people, identities_per_batch, images_per_identity, seed)
        self.people, is_infrared = np.unique(np.asarray(people)), np.asarray(infrared, dtype=bool)
        self.sides = [  # of each person, visible and infrared
            [images[is_infrared[images] == kind] for kind in (False, True)]
            for images in self.images_of
        ]
        paired = [len(visible) > 0 and len(other) > 0 for visible, other in self.sides]
        self.paired = np.flatnonzero(paired)
        self._tell_of_the_rest(np.flatnonzero(np.logical_not(paired)))
        larger = max(int(is_infrared.sum()), int((~is_infrared).sum()))
        self.batches = larger // (self.batch_size // 2) + 1  # (AGW's code)

    def __iter__(self) -> Iterator[list[int]]:
        rng = np.random.default_rng([self.seed, self.epoch])
        for _ in range(self.batches):
            first = rng.choice(self.paired)
            others = np.delete(np.arange(len(self.people)), first)
            rest = rng.choice(others, self.identities_per_batch - 1, replace=False)
            yield [image for person in (first, *rest) for image in self._draw(person, rng)]

    def __len__(self) -> int:
        return self.batches

    def _draw(self, person: int, rng: np.random.Generator) -> list[int]:
        """K images of somebody, the visible ones first."""
        there = [images for images in self.sides[person] if len(images)]
        size = self.images_per_identity // len(there)
        drawn = [rng.choice(images, size, replace=len(images) < size) for images in there]
        return np.concatenate(drawn).tolist()

    def _tell_of_the_rest(self, alone: np.ndarray) -> None:
        if not len(self.paired):
            raise ValueError(
                f"none of the {len(self.people)} people of the training split has visible and "
                "infrared images: train on a set such as sysu-mm01 or regdb, or with another "
                "sampler"
            )
        for kind, name in enumerate(("visible", "infrared")):
            lacking = [self.people[n] for n in alone if not len(self.sides[n][kind])]
            if lacking:
                few = ", ".join(map(str, lacking[:5])) + (", ..." if len(lacking) > 5 else "")
                warnings.warn(
                    f"{len(lacking)} of the {len(self.people)} training people have no {name} "
                    f"images ({few}): losses across modalities leave them out, the others do not",
                    stacklevel=2,
                )


class ShuffleSampler(Sampler[list[int]]):
    """Batches of images in random order, for training by classification alone.

    Args:
        length: N, number of images.
        batch_size: images per batch.
        seed: of the order.
        drop_last: leave out a last batch that is not full (batch normalisation fails on one image;
            under several processes Accelerate would fill it up with images of the first).
    """

    def __init__(self, length: int, batch_size: int, seed: int = 0, drop_last: bool = True) -> None:
        if batch_size < 1 or (drop_last and length < batch_size):
            raise ValueError(
                f"{length} images give no batch of batch_size={batch_size}: expected between 1 "
                f"and {length}"
            )
        self.length, self.batch_size, self.drop_last = length, batch_size, drop_last
        self.seed, self.epoch = seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next pass."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[list[int]]:
        order = np.random.default_rng([self.seed, self.epoch]).permutation(self.length).tolist()
        for batch in range(len(self)):
            yield order[batch * self.batch_size : (batch + 1) * self.batch_size]

    def __len__(self) -> int:
        rest = 0 if self.drop_last else self.batch_size - 1
        return (self.length + rest) // self.batch_size


class GraphSampler(_PeopleSampler):
    """One batch for each person: P - 1 people who look like them to the model, and themselves.

    Liao, Shao, "Graph Sampling Based Deep Metric Learning for Generalizable Person
    Re-Identification", CVPR 2022 (arXiv 2104.01546), in the form of its code since 2.1. The sampler
    must `look` before each epoch, which has as many batches as there are people.

    The images of a person are drawn in turn from a shuffled list, which goes on from batch to batch
    and from epoch to epoch, and is shuffled anew where it ends; a batch in which it ends may show
    an image twice, as does one of a person with fewer than K. How many were drawn of each, `drawn`,
    is all that the sampler has to remember.

    Args:
        people: (N,) person of each image.
        identities_per_batch: P.
        images_per_identity: K.
        seed: of anchors, lists and the order of the batches.

    Raises:
        ValueError: fewer than P people, or P below 2, or K below 1.
    """

    fewest, needs = 2, "at least 2, as everybody gets a neighbour, and 1"

    @cached_property
    def drawn(self) -> NDArray[np.int64]:
        """(C,) how many images of each person were drawn so far."""
        return np.zeros(len(self.images_of), np.int64)

    def look(self, distances: Callable[[list[int]], ArrayLike]) -> None:
        """Find out who looks like whom, and draw the batches of the present epoch.

        Args:
            distances: asked once, with the row of a random image of each person: (C,) rows to
                (C, C) distances, row by row and not necessarily symmetric. Equal ones are ordered
                at random: a model that sees no difference gives random neighbours.

        Raises:
            ValueError: another shape, or distances that are no numbers.
        """
        rng = np.random.default_rng([self.seed, self.epoch])
        people = len(self.images_of)
        found = np.array(
            distances([int(rng.choice(images)) for images in self.images_of]), np.float64
        )
        if found.shape != (people, people) or np.isnan(found).any():
            raise ValueError(
                f"distances have shape {found.shape} and {np.isnan(found).sum()} values that are "
                f"no numbers; expected ({people}, {people}) numbers, a row for each person. Did "
                "the training diverge?"
            )
        np.fill_diagonal(found, np.inf)
        nearest = np.lexsort((rng.random(found.shape), found), axis=1)
        batches = []
        for person, others in enumerate(nearest[:, : self.identities_per_batch - 1]):
            others = others[others != person]  # where all others are infinitely far
            batches.append([row for each in (*others, person) for row in self._draw(int(each))])
        self._planned = (self.epoch, [batches[i] for i in rng.permutation(people)])

    def __iter__(self) -> Iterator[list[int]]:
        if self._planned is None or self._planned[0] != self.epoch:
            raise ValueError(
                f"the graph sampler has not looked at a model in epoch {self.epoch}: call "
                "set_epoch(epoch), then look(distances), as fit does"
            )
        return iter([list(batch) for batch in self._planned[1]])

    def __len__(self) -> int:
        """Batches of an epoch, one for each person."""
        return len(self.images_of)

    def _draw(self, person: int) -> list[int]:
        images, k = self.images_of[person], self.images_per_identity
        first = int(self.drawn[person])
        self.drawn[person] += k
        whole = len(images)
        turns = {  # the list of the person, shuffled for the nth time
            n: np.random.default_rng([self.seed, person, n]).permutation(images)
            for n in range(first // whole, (first + k) // whole + 1)
        }
        return [int(turns[n // whole][n % whole]) for n in range(first, first + k)]


def make_sampler(
    name: str,
    people: ArrayLike,
    *,
    identities_per_batch: int,
    images_per_identity: int,
    infrared: ArrayLike | None = None,
    seed: int = 0,
    processes: int = 1,
) -> Sampler[list[int]]:
    """The sampler of a recipe; a batch has P * K images.

    Args:
        name: "identity", "cross-modal", "shuffle", or "graph" (or "graph-sigmoid": by other
            distances).
        people: (N,) person of each image.
        identities_per_batch: P.
        images_per_identity: K.
        infrared: (N,) whether an image is infrared; None: none is.
        seed: of the order.
        processes: that share a batch: each needs a part of every batch.

    Raises:
        ValueError: an unknown name, or what the sampler itself refuses.
    """
    p, k = identities_per_batch, images_per_identity
    if name == "identity":
        return IdentitySampler(people, p, k, seed)
    images, size = len(np.asarray(people)), p * k
    if name == "cross-modal":
        return CrossModalSampler(
            people, np.zeros(images) if infrared is None else infrared, p, k, seed
        )
    if name in ("graph", "graph-sigmoid"):
        return GraphSampler(people, p, k, seed)
    if name != "shuffle":
        known = "identity, cross-modal, shuffle, graph or graph-sigmoid"
        raise ValueError(f"unknown sampler {name!r}: choose {known}")
    # the last batch is smaller; batch norm can't take a single image, nor processes a share
    drop = processes > 1 or (size > 1 and images % size == 1)
    return ShuffleSampler(images, size, seed, drop_last=drop)
