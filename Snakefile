# From data to a checked book:  data -> executed notebooks (+ run records) -> HTML -> checks.
# `make book` runs it here; `snakemake --executor slurm ...` runs the same graph on a cluster.
# Snakemake keeps a checksum of each input: what did not change in content does not run again.

import sys
from pathlib import Path

from workflow.run_notebook import library_files


configfile: "workflow/config.yaml"


PYTHON = sys.executable
PROFILE = config["profile"]
NOTEBOOKS = config["notebooks"]
LIBRARY = [str(p) for p in library_files(Path("."))]
PAGES = [
    str(p)
    for p in sorted(Path("book").rglob("*"))
    if p.is_file() and not any(part.startswith(".") for part in p.parts)
]


wildcard_constraints:
    stem="|".join(NOTEBOOKS),
    set="|".join(config["data"]),


def data_folder(name):
    """Folder of a synthetic set; a small world never takes the place of the laptop's."""
    return f"data/smoke/{name}" if PROFILE == "smoke" else f"data/{name}"


def knobs(name):
    """Command-line options of a set's world under the current profile."""
    world = config["data"][name].get(PROFILE, config["data"][name]["laptop"])
    return [text for key, value in world.items() for text in ("--knob", f"{key}={value}")]


def data_of(wildcards):
    """The file whose presence says that a notebook's data are complete."""
    if config["data_root"]:
        return []
    return f"{data_folder(NOTEBOOKS[wildcards.stem]['data'])}/world.json"


def parameters(wildcards):
    """What a notebook is told: profile, data set, folder, seed."""
    root = config["data_root"] or data_folder(NOTEBOOKS[wildcards.stem]["data"])
    given = {"profile": PROFILE, "dataset": config["dataset"], "data_root": root, "seed": config["seed"]}
    return [text for key, value in given.items() for text in ("-p", key, str(value))]


rule all:
    input:
        f"_build/checked-{PROFILE}.json",


rule data:
    input:
        "data_scripts/make_synthetic.py",
        [path for path in LIBRARY if path.startswith("reidlab/synth/")],
    output:
        data_folder("{set}") + "/world.json",
    params:
        layout=lambda wildcards: config["data"][wildcards.set]["layout"],
        knobs=lambda wildcards: knobs(wildcards.set),
        root=data_folder("{set}"),
    threads: 2
    shell:
        "{PYTHON:q} data_scripts/make_synthetic.py --layout {params.layout} --out {params.root:q}"
        " {params.knobs:q}"


rule notebook:
    input:
        runner="workflow/run_notebook.py",
        notebook="notebooks/{stem}.ipynb",
        data=data_of,
        library=LIBRARY,
    output:
        executed=f"_build/executed/{PROFILE}/{{stem}}.ipynb",
        record=f"runs/book/{PROFILE}/{{stem}}/{{stem}}.json",
    params:
        given=parameters,
        run_dir=f"runs/book/{PROFILE}/{{stem}}",
    threads: lambda wildcards: NOTEBOOKS[wildcards.stem]["threads"]
    shell:
        "OMP_NUM_THREADS={threads} {PYTHON:q} {input.runner} {input.notebook} {output.executed}"
        " {params.given:q} --run-dir {params.run_dir}"


rule book:
    input:
        "_config.yml",
        "_toc.yml",
        "workflow/build_book.py",
        "workflow/check_book.py",
        PAGES,
        LIBRARY,
        executed=expand(f"_build/executed/{PROFILE}/{{stem}}.ipynb", stem=NOTEBOOKS),
    output:
        "_build/html/index.html",
    params:
        executed=f"_build/executed/{PROFILE}",
    shell:
        "{PYTHON:q} -m workflow.build_book --executed {params.executed}"


rule check:
    input:
        "workflow/check_book.py",
        "_build/html/index.html",
    output:
        f"_build/checked-{PROFILE}.json",
    shell:
        "{PYTHON:q} -m workflow.check_book _build/html"
        " --profile {PROFILE} --report {output}"
