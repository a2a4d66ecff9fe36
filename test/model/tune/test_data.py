"""T4: which file is read, which columns are trained on, and what is said of files and rows that cannot be used."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from model_runtime.errors import UserError
from model_runtime.tune.config import DatasetSection
from model_runtime.tune.data import Form, find_source, is_conversational, read_rows, split_rows
from test.model.tune.lessons import CHAT_ROWS, INSTRUCTION_ROWS, TEXT_ROWS, write_parquet

pytestmark = pytest.mark.model


def write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    pd.DataFrame(rows).to_csv(path, index=False)


def write_json(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text(json.dumps(rows))


def write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_arrow(path: Path, rows: list[dict[str, Any]]) -> None:
    table = pa.Table.from_pylist(rows)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)


def write_stream(path: Path, rows: list[dict[str, Any]]) -> None:
    table = pa.Table.from_pylist(rows)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table)


WRITERS: dict[str, Callable[[Path, list[dict[str, Any]]], None]] = {
    "a.csv": write_csv,
    "b.json": write_json,
    "c.jsonl": write_lines,
    "d.parquet": write_parquet,
    "e.arrow": write_arrow,
    "f.arrow": write_stream,
}


def find(folder: Path, mount: Path | None = None, **section: Any) -> Any:
    return find_source(DatasetSection(**section), {"DATASET_FOLDER_PATH": str(folder)}, mount or folder)


ROWS = {Form.CHAT: CHAT_ROWS, Form.INSTRUCTION: INSTRUCTION_ROWS, Form.TEXT: TEXT_ROWS}
KIND_AND_FORM = [(name, form) for name in WRITERS for form in Form if (name, form) != ("a.csv", Form.CHAT)]
"""All but one: a csv cell holds no list of messages; test_chat_in_a_csv_is_refused says what happens."""


@pytest.mark.parametrize(("name", "form"), KIND_AND_FORM)
def test_every_form_is_read_from_every_kind_of_file(tmp_path: Path, name: str, form: Form) -> None:
    rows: list[dict[str, Any]] = ROWS[form]
    WRITERS[name](tmp_path / name, rows)
    found, told = read_rows(find(tmp_path), tmp_path / "cache")
    assert told is form
    assert found.to_list() == rows
    assert is_conversational(found) is (form is Form.CHAT)


def test_chat_in_a_csv_is_refused(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", CHAT_ROWS)
    with pytest.raises(UserError, match=r"column messages is (large_)?string; make it a list of \{role, content\}"):
        read_rows(find(tmp_path), tmp_path / "cache")


def test_other_columns_are_dropped_when_a_form_is_there(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", [{**row, "source": "web", "id": 1} for row in INSTRUCTION_ROWS])
    assert read_rows(find(tmp_path), tmp_path / "cache")[0].column_names == ["prompt", "completion"]


def test_conversational_prompts_are_an_instruction_too(tmp_path: Path) -> None:
    row = {"prompt": [{"role": "user", "content": "a"}], "completion": [{"role": "assistant", "content": "b"}]}
    write_parquet(tmp_path / "a.parquet", [row])
    rows, form = read_rows(find(tmp_path), tmp_path / "cache")
    assert form is Form.INSTRUCTION
    assert is_conversational(rows)


def test_unknown_columns_are_refused_with_the_columns_found(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", [{"question": "a", "answer": "b"}])
    with pytest.raises(UserError, match=r"has the columns question, answer, .* rename them to messages, or prompt and"):
        read_rows(find(tmp_path), tmp_path / "cache")


def test_a_webdataset_is_read_and_judged_by_its_columns(tmp_path: Path) -> None:
    """Its columns are the suffixes of its members, which are seldom those of a form."""
    with tarfile.open(tmp_path / "webdataset.tar", "w") as archive:
        for name in ("0.txt", "1.txt"):
            entry = tarfile.TarInfo(name)
            entry.size = 1
            archive.addfile(entry, io.BytesIO(b"a"))
    with pytest.raises(
        UserError, match=r"has the columns txt, __key__, __url__, .* rename them to messages, or prompt"
    ):
        read_rows(find(tmp_path), tmp_path / "cache")


@pytest.mark.parametrize("empty", [None, ""])
def test_empty_cells_are_refused_with_the_first_row_and_their_number(tmp_path: Path, empty: str | None) -> None:
    write_parquet(tmp_path / "a.parquet", [{"text": "a"}, {"text": empty}, {"text": "b"}, {"text": empty}])
    with pytest.raises(UserError, match=r"its column text is empty in row 2 and 1 more; fill or remove"):
        read_rows(find(tmp_path), tmp_path / "cache")


@pytest.mark.parametrize("messages", [[], None])
def test_a_chat_without_messages_is_refused(tmp_path: Path, messages: Any) -> None:
    write_parquet(tmp_path / "a.parquet", [*CHAT_ROWS[:2], {"messages": messages}])
    with pytest.raises(UserError, match=r"its column messages is empty in row 3;"):
        read_rows(find(tmp_path), tmp_path / "cache")


def test_messages_of_another_shape_are_refused(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", [{"messages": [{"from": "human", "value": "a"}]}])
    with pytest.raises(UserError, match=r"column messages is .*from.*value.*make it a list of \{role, content\}"):
        read_rows(find(tmp_path), tmp_path / "cache")


@pytest.mark.parametrize("name", ["a.parquet", "a.json", "a.arrow"])
def test_a_broken_file_is_refused_with_the_readers_reason(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x00not what it says\xff")
    with pytest.raises(UserError, match=rf"{name}\": cannot be read as {name[2:]} \(\w+: .+\); correct the file"):
        read_rows(find(tmp_path), tmp_path / "cache")


def test_a_file_without_rows_is_refused(tmp_path: Path) -> None:
    pd.DataFrame({"text": pd.Series([], dtype=str)}).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(UserError, match="holds no rows"):
        read_rows(find(tmp_path), tmp_path / "cache")


def test_the_first_file_whose_name_tells_its_kind_is_taken(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("README.md", "notes.txt", "train-00000.PARQUET_download_true", "z.csv", "sub/a.json"):
        (tmp_path / name).touch()
    assert find(tmp_path).path.name == "a.json"
    (tmp_path / "sub" / "a.json").unlink()
    found = find(tmp_path)
    assert (found.path.name, found.kind) == ("train-00000.PARQUET_download_true", "parquet")


def test_the_named_file_is_below_the_mount_with_or_without_slashes(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "x.json").touch()
    for written in ("data/x.json", "/data/x.json/", "/mnt/data/x.json"):
        assert find(tmp_path, dataset_path=written).path == tmp_path / "data" / "x.json"


def test_the_stated_extension_decides(tmp_path: Path) -> None:
    (tmp_path / "part-0001").touch()
    assert find(tmp_path, dataset_path="part-0001", dataset_extension="jsonl").kind == "json"
    with pytest.raises(UserError, match=r"its name does not tell how to read it; set DatasetConfig.dataset_extension"):
        find(tmp_path, dataset_path="part-0001")


def test_a_missing_file_is_answered_with_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UserError, match=r"no file .*x.csv; there is: notes.txt"):
        find(tmp_path, dataset_path="x.csv")
    with pytest.raises(UserError, match=r"holds no file whose name contains csv, json, .*there is: notes.txt"):
        find(tmp_path)
    with pytest.raises(UserError, match="is empty or missing"):
        find(tmp_path / "nowhere")


def test_the_data_folder_has_a_default() -> None:
    with pytest.raises(UserError, match=r'data folder="/mnt/data"'):
        find_source(DatasetSection(), {})


def test_the_split_keeps_every_row_once_and_is_the_same_each_time(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", [{"text": f"row {number}"} for number in range(10)])
    rows, form = read_rows(find(tmp_path), tmp_path / "cache")
    first, again = (split_rows(rows, form, DatasetSection(train_test_split=0.8)) for _ in range(2))
    assert first.evaluation is not None
    assert again.evaluation is not None
    assert (len(first.train), len(first.evaluation)) == (8, 2)
    assert sorted([*first.train["text"], *first.evaluation["text"]]) == sorted(rows["text"])
    assert first.train["text"] == again.train["text"]
    assert first.train["text"] != rows["text"][:8]


def test_a_split_of_one_keeps_nothing_back_and_order_is_kept_when_not_shuffled(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", [{"text": f"row {number}"} for number in range(5)])
    rows, form = read_rows(find(tmp_path), tmp_path / "cache")
    found = split_rows(rows, form, DatasetSection(train_test_split=1, shuffle_dataset=False))
    assert found.evaluation is None
    assert found.train["text"] == rows["text"]


def test_a_small_split_trains_on_one_row_at_least(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", [{"text": "a"}, {"text": "b"}])
    rows, form = read_rows(find(tmp_path), tmp_path / "cache")
    assert len(split_rows(rows, form, DatasetSection(train_test_split=0.01)).train) == 1


def test_the_digest_is_that_of_the_content(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"text\nhello\n")
    told = subprocess.run(["sha256sum", tmp_path / "a.csv"], capture_output=True, text=True, check=True).stdout
    assert find(tmp_path).digest() == f"sha256:{told.split()[0]}"
