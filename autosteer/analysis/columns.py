"""Columns of results to files, NPZ or Parquet by the name's ending."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autosteer.contracts import AnalysisError

_ENDINGS = (".npz", ".parquet")


def check_ending(path: Path, others: tuple[str, ...] = ()) -> None:
    """Check that a file of results may have this name, before the work is done.

    Parameters
    ----------
    path : Path
        Name of the file.
    others : tuple of str, default ()
        Endings that the caller takes besides .npz and .parquet.

    Raises
    ------
    AnalysisError
        If it ends in none of these.
    """
    endings = _ENDINGS + others
    if path.suffix not in endings:
        known = f"{', '.join(endings[:-1])} or {endings[-1]}"
        raise AnalysisError(f"{path}: results are written to {known} files")


def check_folder(path: Path) -> None:
    """Check that a file of results has a folder to go to, before the work is done.

    Parameters
    ----------
    path : Path
        Name of the file.

    Raises
    ------
    AnalysisError
        If there is no such folder.
    """
    if not path.parent.is_dir():
        raise AnalysisError(f"{path}: cannot be written, there is no folder {path.parent}")


def write_columns(path: Path, columns: Mapping[str, NDArray[Any]]) -> None:
    """Write columns of equal length.

    Parameters
    ----------
    path : Path
        Name of the file, ending in .npz or .parquet.
    columns : mapping of str to ndarray, shape (n,)
        Columns by name.

    Raises
    ------
    AnalysisError
        If the name has another ending, or the file cannot be written.
    """
    check_ending(path)
    try:
        if path.suffix == ".npz":
            np.savez_compressed(path, allow_pickle=False, **columns)
        else:
            import pyarrow as pa
            import pyarrow.parquet as pq

            pq.write_table(pa.table(dict(columns)), path)
    except OSError as error:
        raise AnalysisError(f"{path}: cannot be written ({error.strerror or error})") from error


def write_tables(folder: Path, tables: Mapping[str, Any]) -> None:
    """Write tables as Parquet files of their names.

    Parameters
    ----------
    folder : Path
        Where to; it is made if it is not there.
    tables : mapping of str to pyarrow.Table
        Tables by name.

    Raises
    ------
    AnalysisError
        If a file cannot be written.
    """
    import pyarrow.parquet as pq

    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, table in tables.items():
            pq.write_table(table, folder / f"{name}.parquet")
    except OSError as error:
        raise AnalysisError(f"{folder}: cannot be written ({error}); choose another folder") from (
            error
        )
