"""The run-record box: complete, escaped, atomic, and with no reader's path in it."""

import base64
import json
import re
import types
from html.parser import HTMLParser
from pathlib import Path

import pytest

from reidlab import report
from reidlab.files import project_root
from reidlab.report import RunRecordBox, page_start, read_page
from reidlab.report.records import RecordError


class Balance(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.first = [], None

    def handle_starttag(self, tag, attrs):
        self.first = self.first or (tag, dict(attrs))
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def parse(html):
    parser = Balance()
    parser.feed(html)
    assert parser.open == []
    return parser.first


def dataset(name="market1501"):
    return types.SimpleNamespace(name=name, fingerprint=lambda: "cafe" * 16)


@pytest.fixture
def box_of(tmp_path):
    return page_start("03_x", profile="laptop", dataset="market1501", out=tmp_path).finish


def test_a_page_measures_itself_and_leaves_a_record(tmp_path, record):
    page = page_start("03_x", profile="smoke", dataset="market1501", seed=4, out=tmp_path)
    box = page.finish(records=[record], dataset=dataset())
    saved = json.loads((tmp_path / "03_x.json").read_text())
    assert saved == json.loads(json.dumps(box.record))
    assert saved["seconds"] >= 0
    assert saved["data"] == {"name": "market1501", "fingerprint": "cafe" * 16}
    assert saved["records"][0]["metrics"] == {"rank1": 0.5, "mAP": 0.25}
    assert [path.name for path in tmp_path.iterdir()] == ["03_x.json"]


def test_a_page_keeps_values_for_other_pages(tmp_path):
    page = page_start("02_x", profile="smoke", dataset="market1501", out=tmp_path)
    page.finish(dataset=dataset(), values={"audit": {"standard": {"mAP": 0.5}}})
    saved = json.loads((tmp_path / "02_x.json").read_text())
    assert saved["values"] == {"audit": {"standard": {"mAP": 0.5}}}
    assert "values" not in page.finish(dataset=dataset()).record


def test_a_page_says_that_it_replaces_another_run(tmp_path, capsys):
    for profile, said in (("smoke", ""), ("smoke", ""), ("laptop", "profile smoke then")):
        page_start("02_x", profile=profile, dataset="market1501", out=tmp_path).finish()
        told = capsys.readouterr().out
        assert said in told
        assert bool(told) == bool(said)
        assert str(tmp_path) not in told


def test_the_box_names_profile_commit_and_seconds(record, box_of):
    box = RunRecordBox(box_of([record], dataset()).record | {"seconds": 12.34})
    tag, attributes = parse(box._repr_html_())
    assert (tag, attributes["class"]) == ("div", "run-record")
    assert attributes["data-profile"] == "laptop"
    assert attributes["data-seconds"] == "12.3"
    assert re.fullmatch(r"[0-9a-f]{40}|unknown", attributes["data-commit"])
    assert "http" not in box._repr_html_()
    for text in ("laptop", "cafecafecafe", "Rank-1 50.0 %", "torch"):
        assert text in box._repr_html_()
        assert text in repr(box)


def test_the_record_is_downloaded_from_the_box(tmp_path, record):
    page = page_start("03_x", profile="smoke", dataset="market1501", out=tmp_path)
    shown = page.finish(records=[record], dataset=dataset())._repr_html_()
    (file, whole), *others = re.findall(r'download="(.*?)" href="data:.*?;base64,(.*?)"', shown)
    assert not others
    assert json.loads(base64.b64decode(whole)) == json.loads((tmp_path / file).read_text())
    assert read_page(tmp_path / file)["records"][0] == record | {"history": []}


def test_the_box_escapes(record, box_of):
    record["experiment"]["variant"] = "<script>&"
    box = box_of([record], dataset('a"b<'))
    _, attributes = parse(box._repr_html_())
    assert attributes["data-dataset"] == 'a"b<'
    assert "<script>" not in box._repr_html_()


def test_the_fingerprint_may_come_from_the_first_record(record, box_of):
    box = box_of([record])
    assert box.record["data"]["fingerprint"] == "ab" * 32


def test_records_may_be_paths_and_nothing_odd(tmp_path, record, box_of):
    path = tmp_path / "record.json"
    path.write_text(json.dumps(record))
    box = box_of([path])
    assert box.record["records"][0]["seconds"] == {"train": 60.0, "embed": 2.0, "rank": 0.5}
    assert "62 s" in repr(box)
    with pytest.raises(RecordError, match="int is not a run record"):
        box_of([3])


def test_no_folder_of_the_reader_is_written_down(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("REIDLAB_PAGES", str(tmp_path / "pages"))
    secret = tmp_path / "jane_doe"
    page = page_start("00_x", profile="paper", dataset="market1501", data_root=secret)
    assert "does not exist yet" in capsys.readouterr().out
    page.finish()
    assert "jane_doe" not in (tmp_path / "pages" / "00_x.json").read_text()


def test_parameters_as_they_were_meant(tmp_path, monkeypatch, capsys):
    """papermill and YAML hand over numbers, truth values and None; `-r` hands over text."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "2024").mkdir()
    texts = {"settings": None, "preset": 1}
    page = page_start(
        "04_x", profile="smoke", dataset="folder", data_root=2024, seed="3", run=7, **texts
    )
    folders = str(tmp_path / "2024"), str(tmp_path / "7")
    assert page.given == ("smoke", "folder", folders[0], 3, folders[1], "", "1")
    assert page.seed == 3
    assert capsys.readouterr().out == ""
    assert page.run_folder("04-x", dataset()) == tmp_path / "7"


def test_runs_on_data_of_ones_own_stay_apart(tmp_path, monkeypatch):
    (tmp_path / "_toc.yml").touch()
    monkeypatch.chdir(tmp_path)
    given = {"profile": "smoke", "dataset": "folder", "run": ""}
    lab = tmp_path / "runs" / "lab"
    assert page_start("04_x", **given).run_folder("04-x", dataset()) == lab / "04-x"
    mine = page_start("04_x", **given, data_root=tmp_path)
    assert mine.run_folder("04-x", dataset()) == lab / "04-x-cafecafe"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"profile": 1}, "profile '1' is unknown: choose smoke, laptop or paper"),
        ({"profile": None}, "profile '' is unknown"),
        ({"dataset": True}, "dataset 'True' is unknown: choose market1501, dukemtmc"),
        ({"dataset": ["a"]}, r"dataset is \['a'\], a list; expected text"),
        ({"seed": "three"}, "seed is 'three'; expected a whole number from 0 to"),
        ({"seed": True}, "seed is True; expected a whole number"),
        ({"settings": {}}, "settings is {}, a dict; expected text. Write -r settings TEXT"),
    ],
)
def test_parameters_of_another_kind(given, message):
    with pytest.raises(ValueError, match=message):
        page_start("00_x", **({"profile": "smoke", "dataset": "market1501"} | given))


@pytest.mark.parametrize(
    ("notebook", "profile", "message"),
    [
        ("00_x", "fast", "choose smoke, laptop or paper"),
        ("00_x.ipynb", "smoke", "stem"),
        ("a/b", "smoke", "stem"),
    ],
)
def test_wrong_names_are_refused(notebook, profile, message):
    with pytest.raises(ValueError, match=message):
        page_start(notebook, profile=profile, dataset="market1501")


def test_project_root_climbs_to_the_table_of_contents(tmp_path):
    (tmp_path / "_toc.yml").touch()
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    assert project_root(deep) == tmp_path
    (tmp_path / "link").symlink_to(deep)
    assert project_root(tmp_path / "link") == tmp_path


def test_only_the_drawing_modules_import_matplotlib():
    folder = Path(report.__file__).parent
    drawing = {
        path.relative_to(folder).parts[0].removesuffix(".py")
        for path in folder.rglob("*.py")
        if re.search("import matplotlib|from matplotlib", path.read_text())
    }
    assert drawing == {"style", "figures", "slides", "explorer"}
    exports = (folder / "__init__.py").read_text().split('"""')[-1]
    assert not re.search(r"import.*(style|figures)", exports)
