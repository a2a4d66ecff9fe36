"""The training data: which file, what its rows look like, and which of them are kept back for evaluation.

Three forms are taken, told by the columns: chat (`messages`), instruction (`prompt` and `completion`) and plain `text`. Everything else
is refused with the columns that were found, since a model trained on the wrong column is wrong in silence. Token lengths are the
business of `lengths`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from datasets import Dataset, load_dataset

from model_runtime import contract
from model_runtime.errors import UserError
from model_runtime.tune.config import DatasetSection

MOUNT = Path("/mnt")
KINDS = ("csv", "json", "parquet", "arrow", "webdataset")
"""What a file's name has to contain; the first that it does contain is how it is read."""
_READERS = {"jsonl": "json"}


class Form(Enum):
    """What a row is, by its columns; the first form whose columns are all there."""

    CHAT = ("messages",)
    INSTRUCTION = ("prompt", "completion")
    TEXT = ("text",)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are trained on; others are dropped."""
        return tuple(self.value)


@dataclass(frozen=True)
class Source:
    """A data file and how it is read."""

    path: Path
    kind: str

    def digest(self) -> str:
        """`sha256:…` of the file's content."""
        with self.path.open("rb") as file:
            return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


@dataclass(frozen=True)
class Split:
    """Rows in training order, and those that are only evaluated (None when all are trained on)."""

    train: Dataset
    evaluation: Dataset | None
    form: Form


def find_source(section: DatasetSection, environment: Mapping[str, str], mount: Path = MOUNT) -> Source:
    """The named file, else the first of the data folder (in order of path) whose name tells its kind."""
    if section.dataset_path:
        path = mount / section.dataset_path.strip("/").removeprefix("mnt/")
        if not path.is_file():
            raise UserError("DatasetConfig.dataset_path", section.dataset_path, f"no file {path}", _there(path.parent))
        return Source(path, _kind(section, path))
    folder = Path(environment.get(contract.DATA_FOLDER_VARIABLE) or contract.DATA_FOLDER)
    for path in _files(folder):
        if any(kind in path.name.lower() for kind in KINDS):
            return Source(path, _kind(section, path))
    problem = f"holds no file whose name contains {', '.join(KINDS)}"
    raise UserError("data folder", folder, problem, f"name the file in DatasetConfig.dataset_path; {_there(folder)}")


def read_rows(source: Source, cache: Path) -> tuple[Dataset, Form]:
    """The rows with the columns of their form alone. Raises UserError for unreadable files, other columns and empty cells."""
    if source.kind == "parquet" and _is_empty(source.path):
        raise UserError("data file", source.path, "holds no rows", "give it at least one")
    try:
        rows = load_dataset(source.kind, data_files=[str(source.path)], split="train", cache_dir=str(cache))
    except Exception as error:  # the readers of five formats raise what they like
        cause = _innermost(error)
        problem = f"cannot be read as {source.kind} ({type(cause).__name__}: {' '.join(str(cause).split())[:300]})"
        raise UserError(
            "data file", source.path, problem, "correct the file, or DatasetConfig.dataset_extension"
        ) from error
    form = _form(rows, source)
    rows = rows.select_columns(list(form.columns))
    _check_cells(rows, form, source)
    return rows, form


def is_conversational(rows: Dataset) -> bool:
    """Whether the columns hold lists of messages, which only a chat template turns into text."""
    return not _is_text(rows.data.column(rows.column_names[0]).type)


def split_rows(rows: Dataset, form: Form, section: DatasetSection) -> Split:
    """Shuffled if asked for, then cut; at least one row is always trained on."""
    if section.shuffle_dataset:
        rows = rows.shuffle(seed=section.shuffle_seed)
    kept = max(1, round(len(rows) * section.train_test_split))
    if kept >= len(rows):
        return Split(rows, None, form)
    return Split(rows.select(range(kept)), rows.select(range(kept, len(rows))), form)


def _kind(section: DatasetSection, path: Path) -> str:
    """The stated extension, the word in the name, or the suffix."""
    name = path.name.lower()
    suffix = path.suffix.lstrip(".").lower()
    told: str = section.dataset_extension or next((kind for kind in KINDS if kind in name), suffix)
    if told not in (*KINDS, *_READERS):
        cure = f"set DatasetConfig.dataset_extension to one of {', '.join(KINDS)}"
        raise UserError("data file", path, "its name does not tell how to read it", cure)
    return _READERS.get(told, told)


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def _there(folder: Path) -> str:
    names = [str(path.relative_to(folder)) for path in _files(folder)][:10] if folder.is_dir() else []
    return f"there is: {', '.join(names)}" if names else f"{folder} is empty or missing"


def _form(rows: Dataset, source: Source) -> Form:
    columns = rows.column_names
    if not len(rows):
        raise UserError("data file", source.path, "holds no rows", "give it at least one")
    for form in Form:
        if all(column in columns for column in form.columns):
            return form
    wanted = "messages, or prompt and completion, or text"
    problem = f"has the columns {', '.join(map(str, columns))}, none of which is trained on"
    raise UserError("data file", source.path, problem, f"rename them to {wanted}")


def _check_cells(rows: Dataset, form: Form, source: Source) -> None:
    for column in form.columns:
        values = rows.data.column(column)
        if form is Form.CHAT or not _is_text(values.type):
            _check_messages(values, column, source)
        else:
            _refuse_rows(pc.or_kleene(pc.is_null(values), pc.equal(pc.binary_length(values), 0)), column, source)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _check_messages(values: pa.ChunkedArray, column: str, source: Source) -> None:
    kind = values.type
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    inner = kind.value_type if is_list else pa.null()
    keys = {inner.field(i).name for i in range(inner.num_fields)} if pa.types.is_struct(inner) else set()
    if not {"role", "content"} <= keys:
        shape = "text" if column != "messages" else "a list of {role, content}"
        also = "" if column == "messages" else ", or a list of {role, content}"
        raise UserError("data file", source.path, f"its column {column} is {kind}", f"make it {shape}{also}")
    _refuse_rows(pc.or_kleene(pc.is_null(values), pc.equal(pc.list_value_length(values), 0)), column, source)


def _refuse_rows(empty: pa.ChunkedArray, column: str, source: Source) -> None:
    bad = [index for index, is_empty in enumerate(empty.to_pylist()) if is_empty is not False]
    if bad:
        which = f"row {bad[0] + 1}" + (f" and {len(bad) - 1} more" if len(bad) > 1 else "")
        raise UserError(
            "data file", source.path, f"its column {column} is empty in {which}", "fill or remove these rows"
        )


def _is_empty(path: Path) -> bool:
    """The reader of parquet files stumbles over one without rows."""
    try:
        return bool(pq.read_metadata(path).num_rows == 0)
    except (pa.ArrowInvalid, OSError):
        return False


def _innermost(error: BaseException) -> BaseException:
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return error


def writable_cache(environment: Mapping[str, str]) -> Path:
    """Where the reader keeps its converted copy: `HF_DATASETS_CACHE`, else below the temporary folder, which is always a mount."""
    given = environment.get("HF_DATASETS_CACHE")
    return Path(given) if given else Path(environment.get("TMPDIR") or "/tmp") / "datasets"  # noqa: S108 (a mount)
