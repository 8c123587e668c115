"""Which images form a batch. Deterministic by (seed, epoch); `set_epoch` before each epoch."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike
from torch.utils.data import Sampler


class IdentitySampler(Sampler[list[int]]):
    """Batches of P people with K images each, for losses that compare images within a batch.

    As in TransReID: the images of each person are shuffled and cut into groups of K (people with
    fewer than K images draw K with replacement; a last group that is not full is left out); each
    batch takes one group from each of P people drawn at random; the epoch ends when fewer than P
    people have a group left. So an epoch does not show every image.

    The images of a person stand side by side in a batch: cut into N equal pieces, as under several
    processes, it falls into shares of P / N whole people where N divides P.

    Args:
        labels: (N,) person of each image.
        identities_per_batch: P.
        images_per_identity: K.
        seed: of the order.

    Raises:
        ValueError: fewer than P people, or P or K below 1.
    """

    drop_last = True  # every batch is full; Accelerate asks when it shares them out

    def __init__(
        self,
        labels: ArrayLike,
        identities_per_batch: int,
        images_per_identity: int,
        seed: int = 0,
    ) -> None:
        if identities_per_batch < 1 or images_per_identity < 1:
            raise ValueError(
                f"identities_per_batch is {identities_per_batch} and images_per_identity "
                f"{images_per_identity}, expected at least 1 of each"
            )
        array = np.asarray(labels)
        self.images_of = [np.flatnonzero(array == label) for label in np.unique(array)]
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
        self._planned: tuple[int, list[list[int]]] | None = None

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next pass."""
        self.epoch = epoch

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


class CrossModalSampler(Sampler[list[int]]):
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

    drop_last = True  # as in IdentitySampler

    def __init__(
        self,
        people: ArrayLike,
        infrared: ArrayLike,
        identities_per_batch: int,
        images_per_identity: int,
        seed: int = 0,
    ) -> None:
        if identities_per_batch < 1 or images_per_identity < 2 or images_per_identity % 2:
            raise ValueError(
                f"identities_per_batch is {identities_per_batch} and images_per_identity "
                f"{images_per_identity}, expected at least 1 person and an even number of images, "
                "half of them infrared"
            )
        who, is_infrared = np.asarray(people), np.asarray(infrared, dtype=bool)
        self.people = np.unique(who)
        if len(self.people) < identities_per_batch:
            raise ValueError(
                f"the training split has {len(self.people)} people, but a batch needs "
                f"identities_per_batch={identities_per_batch}: lower it, or train on more people"
            )
        self.images_of = [
            [np.flatnonzero((who == person) & (is_infrared == kind)) for kind in (False, True)]
            for person in self.people
        ]
        paired = [len(visible) > 0 and len(other) > 0 for visible, other in self.images_of]
        self.paired = np.flatnonzero(paired)
        self._tell_of_the_rest(np.flatnonzero(np.logical_not(paired)))
        self.identities_per_batch = identities_per_batch
        self.images_per_identity = images_per_identity
        self.batch_size = identities_per_batch * images_per_identity
        larger = max(int(is_infrared.sum()), int((~is_infrared).sum()))
        self.batches = larger // (self.batch_size // 2) + 1  # (AGW's code)
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next pass."""
        self.epoch = epoch

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
        there = [images for images in self.images_of[person] if len(images)]
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
            lacking = [self.people[n] for n in alone if not len(self.images_of[n][kind])]
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
        self.length, self.batch_size, self.seed, self.drop_last = (
            length,
            batch_size,
            seed,
            drop_last,
        )
        self.epoch = 0

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
    """The sampler of a recipe: "identity", "cross-modal" or "shuffle"; a batch has P * K images.

    Args:
        name: Which one.
        people: (N,) person of each image.
        identities_per_batch: P.
        images_per_identity: K.
        infrared: (N,) whether an image is infrared; None: none is.
        seed: of the order.
        processes: that share a batch: each needs a part of every batch.
    """
    p, k = identities_per_batch, images_per_identity
    if name == "identity":
        return IdentitySampler(people, p, k, seed)
    images, size = len(np.asarray(people)), p * k
    if name == "cross-modal":
        return CrossModalSampler(
            people, np.zeros(images) if infrared is None else infrared, p, k, seed
        )
    # the last batch is smaller; batch norm can't take a single image, nor processes a share
    drop = processes > 1 or images % size == 1
    return ShuffleSampler(images, size, seed, drop_last=drop)
