# From data to a checked book:  data -> executed notebooks (+ run records) -> HTML -> checks.
# `make book` runs it here; `snakemake --executor slurm ...` runs the same graph on a cluster.
# Snakemake keeps a checksum of each input: what did not change in content does not run again.

import sys
from pathlib import Path

import yaml

from reidlab.files import find
from reidlab.parameters import as_folder, as_number, as_text
from workflow.locks import forget_dead_snakemake
from workflow.run_notebook import page_inputs

if workflow.is_main_process:
    ALIVE = forget_dead_snakemake()  # held as long as this Snakemake lives


configfile: "workflow/config.yaml"


# --config reads values as YAML does: a folder 2024 arrives as a number.
READ = {"profile": as_text, "dataset": as_text, "data_root": as_folder, "seed": as_number}
config.update({name: read(name, config[name]) for name, read in READ.items()})

PYTHON = sys.executable
PROFILE = config["profile"]
NOTEBOOKS = config["notebooks"]
COURSES = yaml.safe_load(Path("reidlab/experiments/course.yaml").read_text())
INPUTS = [str(p) for p in page_inputs(Path("."))]
LIBRARY = [path for path in INPUTS if path.startswith("reidlab/")]
PAGES = [str(p) for p in find(Path("book"), "**/*") if p.is_file()]
EXECUTED = expand(f"_build/executed/{PROFILE}/{{stem}}.ipynb", stem=NOTEBOOKS)


if PROFILE not in ("smoke", "laptop", "paper"):
    raise ValueError(f"profile={PROFILE}: expected smoke, laptop or paper")
if PROFILE == "paper" and not config["data_root"]:
    raise ValueError("profile=paper wants real data: --config profile=paper data_root=/your/copy")


wildcard_constraints:
    stem="|".join(NOTEBOOKS),
    set="|".join(COURSES),


def data_folder(name):
    """Folder of a synthetic set; a small world never takes the place of the laptop's."""
    return f"data/smoke/{name}" if PROFILE == "smoke" else f"data/{name}"


def knobs(name):
    """Command-line options of a set's world under the current profile."""
    return [text for k, v in COURSES[name][PROFILE].items() for text in ("--knob", f"{k}={v}")]


def data_of(stem):
    """The files whose presence says that a notebook's data are complete."""
    names = [] if config["data_root"] else NOTEBOOKS[stem]["data"]
    return [data_folder(name) + "/world.json" for name in names]


def records_before(stem):
    """The records of the notebooks whose networks a notebook reads."""
    return [f"runs/book/{PROFILE}/{one}/{one}.json" for one in NOTEBOOKS[stem].get("after", [])]


def parameters():
    """What a notebook is told; without a data_root it finds its synthetic set itself."""
    root = bool(config["data_root"])
    other = root or config["dataset"] != "market1501"  # else each chapter's own
    names = ["profile", "seed", *["dataset"] * other, *["data_root"] * root]
    return [text for name in names for text in ("-p", name, str(config[name]))]


rule all:
    # Everything by name: a step that failed last time must not hide behind an older result.
    input:
        sorted({path for stem in NOTEBOOKS for path in data_of(stem)}),
        EXECUTED,
        "_build/built/index.html",
        f"_build/checked-{PROFILE}.json",
        "_build/html/index.html",


rule data:
    input:
        "data_scripts/make_synthetic.py",
        [path for path in LIBRARY if path.startswith("reidlab/synth/")],
    output:
        data_folder("{set}") + "/world.json",
    params:
        layout=lambda wildcards: COURSES[wildcards.set]["layout"],
        knobs=lambda wildcards: knobs(wildcards.set),
        root=data_folder("{set}"),
    threads: 2
    shell:
        "{PYTHON:q} data_scripts/make_synthetic.py --layout {params.layout} --out {params.root:q}"
        " {params.knobs:q}"


rule notebook:
    input:
        notebook="notebooks/{stem}.ipynb",
        data=lambda wildcards: data_of(wildcards.stem),
        after=lambda wildcards: records_before(wildcards.stem),
        read=INPUTS,
    output:
        executed=f"_build/executed/{PROFILE}/{{stem}}.ipynb",
        record=f"runs/book/{PROFILE}/{{stem}}/{{stem}}.json",
    params:
        given=parameters(),
        run_dir=f"runs/book/{PROFILE}/{{stem}}",
    threads: lambda wildcards: NOTEBOOKS[wildcards.stem]["threads"]
    shell:
        "OMP_NUM_THREADS={threads} {PYTHON:q} workflow/run_notebook.py {input.notebook} {output.executed}"
        " {params.given:q} --run-dir {params.run_dir}"


rule book:
    input:
        "_config.yml",
        "_toc.yml",
        "workflow/build_book.py",
        "workflow/check_book.py",
        PAGES,
        LIBRARY,
        EXECUTED,
    output:
        "_build/built/index.html",
    params:
        executed=f"_build/executed/{PROFILE}",
    shell:
        "{PYTHON:q} -m workflow.build_book --executed {params.executed} --out _build/built"


rule check:
    input:
        *[f"workflow/{name}.py" for name in ("check_book", "grammar", "colab")],
        expand("notebooks/{stem}.ipynb", stem=NOTEBOOKS),
        "_build/built/index.html",
    output:
        f"_build/checked-{PROFILE}.json",
    shell:
        "{PYTHON:q} -m workflow.check_book _build/built --profile {PROFILE} --report {output}"


rule publish:
    # The last good book stays readable until the next one has passed its checks.
    input:
        f"_build/checked-{PROFILE}.json",
        "_build/built/index.html",
    output:
        "_build/html/index.html",
    shell:
        "rm -rf _build/html && cp -R _build/built _build/html"


include: "workflow/sweep.smk"
