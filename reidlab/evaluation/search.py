"""Finding the nearest images in large galleries: a small door over FAISS.

`evaluate` gives the numbers: double precision, all of the gallery ranked, ties in gallery
order. Search is for finding: the k nearest of hundreds or of millions of images, from an index that
is built once and can be saved.

| kind | what it does | for |
|---|---|---|
| "exact" | compares with every image | up to some 100,000 images, and the truth for the others |
| "ivf-pq" | sorts images into lists, keeps a few bytes of each, looks into some lists | memory |
| "hnsw" | walks a graph of near neighbours; keeps the vectors and the graph | speed |

Inverted lists with product quantisation: Jégou, Douze, Schmid, "Product Quantization for Nearest
Neighbor Search", TPAMI 2011. Graphs: Malkov, Yashunin, "Efficient and Robust Approximate Nearest
Neighbor Search Using Hierarchical Navigable Small World Graphs", TPAMI 2020. Both through FAISS
(Douze et al., "The Faiss Library", arXiv 2401.08281), which is an extra: `reidlab[search]`.
"""

from __future__ import annotations

import hashlib
import json
import math
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from reidlab.evaluation.checks import (
    METRICS,
    Labels,
    Matrix,
    Metric,
    as_array,
    embeddings,
    few_queries,
    one_of,
    whole_number,
)
from reidlab.evaluation.protocols import IntArray
from reidlab.evaluation.retrieval import RankedList, labelled_queries
from reidlab.files import atomic

Kind = Literal["exact", "ivf-pq", "hnsw"]
Distances: TypeAlias = NDArray[np.float32]
Rows: TypeAlias = Tensor | NDArray[Any]  # (N, D), sliced and indexed in the same way

# The options of each kind, and what FAISS calls the index.
OPTIONS: dict[str, tuple[str, ...]] = {
    "exact": (),
    "ivf-pq": ("lists", "code_bytes", "probes"),
    "hnsw": ("neighbours", "ef_construction", "ef_search"),
}
# "np": codes in no special order; FAISS would take six times as long to sort them for a search by
# Hamming distance ("polysemous"), which is not done here
FACTORY = {"exact": "Flat", "ivf-pq": "IVF{lists},PQ{code_bytes}np", "hnsw": "HNSW{neighbours}"}
SAVED = ("kind", "metric", "dims", "options", "seed")  # what a file says of its index
NAME = b"reidlab-index "  # a file begins with it, its version and a digest
VERSION = b"2"

BLOCK_ELEMENTS = 2**22  # numbers prepared at once: 32 MB in double precision
CODEWORDS = 256  # of each byte of a code
MOST = 2**31 - 1  # of an option: FAISS takes 32 bits
MIN_TRAINING = 39  # images per centre below which FAISS calls k-means badly trained
MAX_TRAINING = 64  # images per centre drawn for training: more cost time and move little
SPARE = 16  # found beyond k, so that rounding at rank k cannot lose an image
WIDER = 4  # times as many are looked for where a protocol has dropped too many
SETTING = threading.Lock()  # FAISS has one setting for all threads, see `_candidates`


class SearchIndex:
    """A gallery that can be searched. Made by `build_index` or `SearchIndex.load`.

    `len(index)` is the number of images; index i is the i-th image that was added.

    Attributes:
        kind: "exact", "ivf-pq" or "hnsw".
        metric: "cosine" or "euclidean".
        dims: D, numbers in an embedding.
        options: every option of the kind with its value, also those left to their default.
        seed: what the training sample and the graph were drawn with.
    """

    def __init__(
        self, kind: Kind, metric: Metric, dims: int, options: dict[str, int], seed: int, index: Any
    ) -> None:
        self.kind, self.metric, self.dims = kind, metric, dims
        self.options, self.seed = options, seed
        self._index = index

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def __repr__(self) -> str:
        options = "".join(f", {name}={value}" for name, value in self.options.items())
        return (
            f"SearchIndex(kind={self.kind!r}, metric={self.metric!r}, "
            f"{len(self)} images of {self.dims} dimensions{options})"
        )

    def add(self, g_emb: Matrix) -> None:
        """Add images behind those there are, block by block.

        The embeddings are read twice, checked and then added, so that a bad row at the end leaves
        the index as it was. "ivf-pq" keeps the lists it learned from the first part.

        Args:
            g_emb: (G, D) more embeddings; a NumPy memmap is never held as a whole.

        Raises:
            ValueError: NaN or infinity, or other dimensions than the index has.
        """
        source = _source(g_emb)
        self._check_dims("g_emb", _checked_dims(source, self.metric))
        self._add(source)

    def search(self, q_emb: Matrix, k: int) -> tuple[IntArray, Distances]:
        """The k nearest images of each query, nearest first.

        What the distances are:

        * "exact", "hnsw": FAISS picks candidates in single precision, a few more than k; their
          distances are then computed again in double precision from the stored (single precision)
          vectors and rounded to single, as `pairwise_distances` does. Copies of one image
          therefore tie exactly, and equal distances are ordered by gallery index. If more than 16
          images tie across rank k, or differ by less than single precision resolves, FAISS decides
          which of them are returned.
        * "ivf-pq": distances to the few bytes kept of an image, off by some per cent.

        The graph of "hnsw" can fall apart where people form tight groups or the gallery holds many
        copies of an image. A query whose walk meets fewer than k images is compared with all.

        Several threads may search at once; FAISS's part of it they do in turn, each on all cores.

        Args:
            q_emb: (Q, D) embeddings of any floating precision, or (D,) of one query.
            k: images per query; may exceed the gallery.

        Returns:
            (Q, k) int64 gallery indices and (Q, k) float32 distances in the convention of
            `pairwise_distances` (1 - cosine similarity, or Euclidean and not squared); -1 and NaN
            where there are fewer than k images in the gallery or, "ivf-pq", in the probed lists.

        Raises:
            ValueError: NaN or infinity, other dimensions than the index has, or k below 1.
        """
        k = whole_number("k", k, 1)
        queries = _queries(q_emb)
        self._check_dims("q_emb", queries.shape[1])
        fetch = k if self.kind == "ivf-pq" else k + SPARE
        single = _single("q_emb", queries, self.metric)
        scores, found = self._candidates(single, min(fetch, len(self)))
        if self.kind == "ivf-pq":
            # FAISS gives inner products for cosine and squared distances for Euclidean.
            cosine = self.metric == "cosine"
            raw = np.maximum(1 - scores if cosine else scores, 0)
            distances = np.where(found < 0, np.nan, raw if cosine else np.sqrt(raw))
        else:
            distances = _distances_of_pairs(queries, self._vectors(), found, self.metric)
        order = np.lexsort((found, distances), axis=-1)[:, :k]  # NaN sorts last
        indices = np.full((len(queries), k), -1, np.int64)
        nearest = np.full((len(queries), k), np.nan, np.float32)
        indices[:, : order.shape[1]] = np.take_along_axis(found, order, 1)
        nearest[:, : order.shape[1]] = np.take_along_axis(distances, order, 1)
        return indices, nearest

    def ranked_list(
        self,
        q_emb: Matrix,
        q_pids: Labels | int,
        g_pids: Labels,
        q_camids: Labels | int | None = None,
        g_camids: Labels | None = None,
        *,
        k: int = 10,
        protocol: str = "standard",
    ) -> RankedList:
        """The k nearest images of each query, after the protocol has dropped its own.

        As `reidlab.evaluation.ranked_list`, which needs no index. More than k images are searched
        for, and again more, until k remain or the index finds no others.

        Args:
            q_emb: (Q, D) embeddings of the queries to show, or (D,) of one.
            q_pids, q_camids: (Q,) integers, or one integer for one query.
            g_pids, g_camids: (G,) integers, in the order in which images were added.
            k: images per query.
            protocol: name of the rule, see `protocols.PROTOCOLS`.

        Returns:
            Indices, distances and match flags, each (Q, k), padded where fewer than k remain.

        Raises:
            TypeError: labels that are not integers.
            ValueError: as `search`, labels of another length, or an unknown protocol.
        """
        queries = _queries(q_emb)
        shape = len(queries), len(self)
        labels = labelled_queries(q_pids, g_pids, q_camids, g_camids, shape, protocol)
        result = RankedList.empty(len(queries), k)
        pending = list(range(len(queries)))
        fetch = k + SPARE  # for the few of its own camera; junk may ask for more
        while pending:
            found, distances = self.search(queries[pending], min(fetch, len(self)))
            short = []
            for query, row, values in zip(pending, found, distances, strict=True):
                seen, matches = labels.seen_by(query)
                shown = np.flatnonzero((row >= 0) & seen[row])[:k]
                result.put(query, row[shown], values[shown], matches)
                if len(shown) < k and fetch < len(self):
                    short.append(query)
            pending, fetch = short, WIDER * fetch
        return result

    def save(self, path: str | Path) -> None:
        """Write the index to one file, beside and then renamed: never half of it.

        Two lines, the digest and what the index is (JSON), and then FAISS's own bytes.
        """
        faiss = _faiss()
        said = {name: getattr(self, name) for name in SAVED} | {"faiss": faiss.__version__}
        header, payload = json.dumps(said).encode() + b"\n", faiss.serialize_index(self._index)
        with atomic(Path(path)) as beside, beside.open("wb") as file:
            file.write(NAME + VERSION + b" " + _digest(header, payload) + b"\n" + header)
            file.write(payload)

    @classmethod
    def load(cls, path: str | Path) -> SearchIndex:
        """The index that `save` wrote; it finds what that one found.

        Nothing is unpickled. FAISS can be brought down by a damaged file, so it reads one only
        after its digest was found right. That finds damage, not malice.

        Raises:
            ImportError: FAISS is not installed.
            FileNotFoundError: there is no such file.
            ValueError: a foreign file, one of another version, cut short, or changed.
        """
        faiss = _faiss()
        if not Path(path).is_file():
            raise FileNotFoundError(
                f"there is no index {path}; build one with build_index() and write it with .save()"
            )
        with Path(path).open("rb") as file:
            first = file.readline(100)
            header, payload = file.readline(2**16), np.fromfile(file, np.uint8)
        if not first.startswith(NAME):
            raise ValueError(
                f"{path} is no index saved by reidlab (it begins with {first[:16]!r}); build one "
                "with build_index() and write it with .save(). A file of faiss.write_index() does "
                "not say which kind and metric it was built with"
            )
        version, _, digest = first.removeprefix(NAME).strip().partition(b" ")
        if version != VERSION:
            raise ValueError(
                f"{path} has version {version.decode('ascii', 'replace')} of the index file, this "
                f"reidlab reads version {VERSION.decode()}; build the index anew and save it"
            )
        if digest != _digest(header, payload):
            raise ValueError(
                f"{path} is not what was saved (its SHA-256 differs): cut short, damaged, or "
                "changed since. Copy or build it again"
            )
        said = json.loads(header)
        try:
            index = faiss.deserialize_index(payload)
        except RuntimeError as error:
            raise ValueError(
                f"{path} was written with FAISS {said['faiss']} and FAISS {faiss.__version__} "
                "cannot read it; install that version or build the index anew"
            ) from error
        return cls(**{name: said[name] for name in SAVED}, index=index)

    def _add(self, source: Rows) -> None:
        for part in _parts(source, self.metric):
            self._index.add(part)

    def _vectors(self) -> Distances:
        """(G, D) the vectors that "exact" and "hnsw" keep."""
        stored = _faiss().rev_swig_ptr(self._flat().get_xb(), len(self) * self.dims)
        return np.asarray(stored).reshape(len(self), self.dims)

    def _flat(self) -> Any:
        """FAISS's own index of the vectors as they are: "exact", and what "hnsw" rests on."""
        if self.kind == "exact":
            return self._index
        return _faiss().downcast_index(self._index.storage)

    def _candidates(self, queries: Distances, fetch: int) -> tuple[Distances, IntArray]:
        """FAISS's scores and indices, (Q, fetch) each."""
        # Where FAISS multiplies matrices squared distances cancel: two copies of one image came out
        # some thousandths apart. From which sizes on it does is one setting of the process.
        settings = _faiss().cvar
        with SETTING:
            before = settings.distance_compute_blas_threshold
            if self.metric == "euclidean":
                settings.distance_compute_blas_threshold = 2**31 - 1
            try:
                scores, found = self._index.search(queries, fetch)
                lost = np.flatnonzero((found < 0).any(axis=1))
                if self.kind == "hnsw" and len(lost) > 0:
                    scores[lost], found[lost] = self._flat().search(queries[lost], fetch)
            finally:
                settings.distance_compute_blas_threshold = before
        return scores, found

    def _check_dims(self, name: str, dims: int) -> None:
        if dims != self.dims:
            raise ValueError(
                f"{name} has {dims} dimensions, the index {self.dims}: both must come from the "
                "same model"
            )


def build_index(
    g_emb: Matrix,
    *,
    kind: Kind = "exact",
    metric: Metric = "cosine",
    seed: int = 0,
    **options: int,
) -> SearchIndex:
    """An index of a gallery.

    The embeddings are read twice (checked, then added) in blocks of 32 MB, so a NumPy memmap larger
    than memory will do for "ivf-pq"; "exact" and "hnsw" keep every vector in single precision.

    The same seed gives the same index on one machine with one thread; with several, the graph of
    "hnsw" depends on which of them is faster.

    Args:
        g_emb: (G, D) embeddings of any floating precision; NumPy, a memmap, or torch.
        kind: "exact", "ivf-pq" or "hnsw"; see the head of this module.
        metric: "cosine" (vectors are brought to unit length) or "euclidean".
        seed: of the training sample, of k-means and of the graph.
        lists: ("ivf-pq") number of lists; 4 sqrt(G) by default, and at most G / 39. If parts are
            to be added, give the number that suits the whole.
        code_bytes: ("ivf-pq") bytes kept of an image; must divide D. By default the largest that
            does and is at most D / 4: a sixteenth of the vectors in single precision.
        probes: ("ivf-pq") lists a query looks into; a sixteenth of them by default, at least 8.
        neighbours: ("hnsw") edges of an image in the graph, 32 by default; twice as many in its
            lowest layer.
        ef_construction: ("hnsw") candidates kept while the graph is built, 100 by default.
        ef_search: ("hnsw") candidates kept while it is searched, 128 by default; never less than
            the images asked for.

    Raises:
        ImportError: FAISS is not installed.
        TypeError: embeddings that are not floating numbers, or an option that is no whole number.
        ValueError: NaN or infinity, an unknown kind, metric or option, an option out of its range,
            or a gallery too small to train "ivf-pq" on.

    Example:
        >>> import numpy as np
        >>> from reidlab.evaluation import build_index
        >>> index = build_index(np.array([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]]))
        >>> indices, distances = index.search(np.array([[2.0, 0.0]]), k=2)
        >>> indices.tolist(), distances.round(3).tolist()
        ([[0, 1]], [[0.0, 0.4000000059604645]])
    """
    faiss = _faiss()
    one_of("kind", kind, OPTIONS)
    one_of("metric", metric, METRICS)
    for name in options:
        if name not in OPTIONS[kind]:
            raise ValueError(
                f"unknown option {name!r} of kind {kind!r}, which has "
                f"{', '.join(OPTIONS[kind]) or 'none'}"
            )
    seed = whole_number("seed", seed, 0)
    source = _source(g_emb)
    dims = _checked_dims(source, metric)
    chosen = _checked_options(kind, dims, {**_defaults(kind, len(source), dims), **options})
    if kind == "ivf-pq":
        _enough_to_train(len(source), chosen["lists"])
    index = _new_index(faiss, kind, metric, dims, chosen, seed)
    if kind == "ivf-pq":
        index.train(_training_sample(source, chosen["lists"], metric, seed))
    built = SearchIndex(kind, metric, dims, chosen, seed, index)
    built._add(source)
    return built


def recall(index: SearchIndex, g_emb: Matrix, q_emb: Matrix, *, k: int = 10) -> float:
    """Share of the true k nearest images that an index finds among its first k, mean over queries.

    Measured by distance, not by index: a found image counts if its true distance is no larger than
    that of the k-th nearest. So it does not matter which of several copies of an image at rank k
    was found. Labels play no part: this measures the index, not the embeddings.

    Args:
        index: the index to measure.
        g_emb: (G, D) the embeddings it was built from, of which an exact one is built
            (G x D x 4 bytes).
        q_emb: (Q, D) queries; some hundred give the second digit.
        k: images looked at; at most the gallery counts.

    Returns:
        The recall in 0..1; 1 for an exact index.

    Raises:
        ValueError: as `SearchIndex.search`, or other images by their number or dimensions.
    """
    exact = build_index(g_emb, metric=index.metric)
    if (len(exact), exact.dims) != (len(index), index.dims):
        raise ValueError(
            f"g_emb has shape {(len(exact), exact.dims)}, expected {(len(index), index.dims)}: the "
            "embeddings the index was built from, all parts in their order"
        )
    queries = _queries(q_emb)
    _, truth = exact.search(queries, k)
    found, _ = index.search(queries, k)
    distances = _distances_of_pairs(queries, exact._vectors(), found, index.metric)
    counted = min(k, len(index))
    return float((distances <= truth[:, [counted - 1]]).sum(axis=1).mean() / counted)


def _faiss() -> ModuleType:
    try:
        import faiss
    except ImportError as error:
        raise ImportError(
            "searching needs FAISS, an extra of reidlab: pip install 'reidlab[search]'"
        ) from error
    return faiss


def _new_index(
    faiss: ModuleType, kind: Kind, metric: Metric, dims: int, options: dict[str, int], seed: int
) -> Any:
    """FAISS's own index, empty and not trained."""
    measure = faiss.METRIC_INNER_PRODUCT if metric == "cosine" else faiss.METRIC_L2
    index = faiss.index_factory(dims, FACTORY[kind].format(**options), measure)
    if kind == "hnsw":
        index.hnsw.efConstruction = options["ef_construction"]
        index.hnsw.efSearch = options["ef_search"]
        index.hnsw.rng = faiss.RandomGenerator(seed % 2**63)
    if kind == "ivf-pq":
        index.cp.seed = index.pq.cp.seed = seed % 2**31  # 32 bits in FAISS
        index.nprobe = options["probes"]
    return index


def _digest(header: bytes, payload: NDArray[np.uint8]) -> bytes:
    """SHA-256 of what follows the first line of a file, in hexadecimal."""
    digest = hashlib.sha256(header)
    digest.update(payload.data)
    return digest.hexdigest().encode()


def _defaults(kind: Kind, images: int, dims: int) -> dict[str, int]:
    if kind == "hnsw":
        return {"neighbours": 32, "ef_construction": 100, "ef_search": 128}
    if kind == "ivf-pq":
        lists = max(1, min(4 * math.isqrt(images), images // MIN_TRAINING))
        code_bytes = max(n for n in range(1, max(1, dims // 4) + 1) if dims % n == 0)
        return {"lists": lists, "code_bytes": code_bytes}  # probes follow from the lists
    return {}


def _checked_options(kind: Kind, dims: int, options: dict[str, int]) -> dict[str, int]:
    """All options of a kind as plain integers, each within its range."""
    for name, value in options.items():
        options[name] = whole_number(name, value, 2 if name == "neighbours" else 1)
        if options[name] > MOST:
            raise ValueError(f"{name} is {value}, expected at most {MOST}")
    if kind != "ivf-pq":
        return {name: options[name] for name in OPTIONS[kind]}
    lists, code_bytes = options["lists"], options["code_bytes"]
    if dims % code_bytes:
        allowed = ", ".join(str(n) for n in range(1, dims + 1) if dims % n == 0)
        raise ValueError(
            f"code_bytes is {code_bytes}, expected a divisor of the {dims} dimensions: one of "
            f"{allowed}"
        )
    probes = options.get("probes", max(8, lists // 16))
    return {"lists": lists, "code_bytes": code_bytes, "probes": min(probes, lists)}


def _enough_to_train(images: int, lists: int) -> None:
    needed = MIN_TRAINING * CODEWORDS
    if images < needed:
        raise ValueError(
            f"kind 'ivf-pq' learns {CODEWORDS} codewords for each byte of a code and needs "
            f"{MIN_TRAINING} images for each, {needed} in all; the gallery has {images}. Use "
            "kind='exact', which is fast with so few"
        )
    if images < MIN_TRAINING * lists:
        raise ValueError(
            f"lists is {lists}, and each needs {MIN_TRAINING} images to learn from, "
            f"{MIN_TRAINING * lists} in all; the gallery has {images}. Use at most "
            f"{images // MIN_TRAINING} lists, or build from a larger first part"
        )


def _training_sample(source: Rows, lists: int, metric: Metric, seed: int) -> Distances:
    """(S, D) images drawn evenly, in gallery order: some for each centre that is learned."""
    images = len(source)
    size = min(images, MAX_TRAINING * max(lists, CODEWORDS))
    chosen = np.sort(np.random.default_rng(seed).choice(images, size, replace=False))
    return np.concatenate([*_parts(source[chosen], metric)])


def _source(g_emb: Matrix) -> Rows:
    """A matrix that shares the memory (or the file) of what was given: tensor or array."""
    source = g_emb.detach() if isinstance(g_emb, Tensor) else as_array("g_emb", g_emb)
    return source if source.ndim == 2 else embeddings("g_emb", source)  # which says what is wrong


def _parts(source: Rows, metric: Metric) -> Iterator[Distances]:
    """What FAISS is given, some rows at a time, checked; an error says in which rows it is."""
    rows = max(1, BLOCK_ELEMENTS // max(1, source.shape[1]))
    for start in range(0, max(1, len(source)), rows):  # of an empty gallery one empty part
        part = source[start : start + rows]
        name = "g_emb" if len(part) == len(source) else f"g_emb[{start}:{start + len(part)}]"
        if not isinstance(part, Tensor):
            part = np.array(part)  # torch wants memory it may write to; many a memmap is read-only
        yield _single(name, embeddings(name, part), metric)


def _checked_dims(source: Rows, metric: Metric) -> int:
    """D, after every row was looked at."""
    return [part.shape[1] for part in _parts(source, metric)][-1]


def _queries(q_emb: Matrix) -> Tensor:
    """(Q, D) in double precision on the CPU; (D,) is one query."""
    return few_queries(q_emb).cpu().double()


def _single(name: str, rows: Tensor, metric: Metric) -> Distances:
    """What FAISS is given: (N, D) float32, of unit length for cosine."""
    rows = rows.cpu().double()
    if metric == "cosine":
        rows = normalize(rows)
    elif rows.norm(dim=1).max() > 1e18:  # FAISS would find infinite distances
        raise ValueError(
            f"{name} holds vectors as long as {rows.norm(dim=1).max():.3g}, whose squares exceed "
            "single precision; divide all embeddings by one number"
        )
    return rows.float().contiguous().numpy()


def _distances_of_pairs(
    queries: Tensor, vectors: Distances, indices: IntArray, metric: Metric
) -> Distances:
    """Distances of each query to some images, in double precision and then rounded.

    queries: (Q, D) double; vectors: (G, D); indices: (Q, n), -1 for none. Returns (Q, n), NaN where
    there is none. A pair's distance does not depend on the pairs beside it.
    """
    distances = np.full(indices.shape, np.nan, np.float32)
    rows, columns = np.nonzero(indices >= 0)
    step = max(1, BLOCK_ELEMENTS // queries.shape[1])
    for start in range(0, len(rows), step):
        row, column = rows[start : start + step], columns[start : start + step]
        found = torch.from_numpy(vectors[indices[row, column]]).double()
        if metric == "cosine":  # rounded before the subtraction, as in pairwise_distances
            similarity = (normalize(queries[row]) * normalize(found)).sum(1)
            distances[row, column] = 1 - similarity.float().numpy()
        else:
            distances[row, column] = (queries[row] - found).norm(dim=1).float().numpy()
    return distances
