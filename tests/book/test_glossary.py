"""Each term of the field that a page uses is explained in the glossary."""

import json
import re
from pathlib import Path

import pytest

BOOK = Path(__file__).parents[2] / "book"
TERMS = re.findall(
    r"^(?![`: ])(\S.*)$", (BOOK / "glossary.md").read_text().split(":sorted:")[1], re.M
)
FIELD = """
    re-identification; query; gallery; junk; distractor; protocol; single-shot; modality; CMC;
    mAP; mINP; trial; bootstrap; paired test; permutation test; flip test; query expansion;
    recall; re-ranking; feature; cosine distance; ViT; patch; stride; class token; stripe; GELT;
    GAE; LMF; PTF; GMA; PTL; matcher; graph sampler; vote; position embedding; attention; SIE;
    BNNeck; identity loss; label smoothing; triplet loss; logits; anchor; batch-hard; random
    erasing; warm-up; fine-tuning; backbone; preset; profile; Grad-CAM; TVTS; GLC; circle loss;
    t-SNE; silhouette; trustworthiness; mask; fingerprint; shortcut; Welch; Wilson; FAISS; HNSW;
    IVF-PQ; authors' evaluation; gate; IBN; cosine schedule; QAConv; rollout; occlusion; arena;
    Holm's rule; ablation; contrastive loss; collapse; common share; mining; no clear difference;
    raw attention; pointing; joined feature; decoder; direct generalisation; drop path; AGW;
    TransFG; RandPerson; SYSU-MM01; VeRi-776; MSMT17
"""


def prose() -> str:
    """All words of the pages, without the glossary and code."""
    pages = [page.read_text() for page in BOOK.glob("*.md") if page.name != "glossary.md"]
    for notebook in (BOOK.parent / "notebooks").glob("*.ipynb"):
        cells = json.loads(notebook.read_text())["cells"]
        pages += ["".join(c["source"]) for c in cells if c["cell_type"] == "markdown"]
    return "\n".join(pages)


PROSE = prose()


@pytest.mark.parametrize("term", [" ".join(term.split()) for term in FIELD.split(";")])
def test_a_term_that_pages_use_has_an_entry(term):
    if re.search(rf"\b{re.escape(term)}", PROSE, re.I):
        names = [name.lower() for entry in TERMS for name in entry.split(", ")]
        assert any(name.startswith(term.lower()) for name in names), term


def test_terms_are_explained_once():
    assert len(TERMS) == len(set(TERMS)) > 90
