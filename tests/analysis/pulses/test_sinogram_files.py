"""Files of sinograms."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from autosteer.analysis.pulses.sinogram_files import read_sinograms
from autosteer.contracts import AnalysisError

SINOGRAMS = np.arange(1500 * 4 * 8, dtype=np.uint16).reshape(1500, 4, 8)


def read(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.uint16]]:
    parts = list(read_sinograms(path))
    assert max(map(len, parts)) <= 1024
    return np.concatenate(parts)


def test_archives_and_datasets(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", ximg=SINOGRAMS, other=np.zeros(3))
    np.testing.assert_array_equal(read(tmp_path / "a.npz"), SINOGRAMS)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["ximg"] = SINOGRAMS
    np.testing.assert_array_equal(read(tmp_path / "a.h5"), SINOGRAMS)


def test_a_group_for_each_shot(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "shots.h5", "w") as file:
        for number in range(30):
            group = file.create_group(f"{number:03d}")
            group["Ximg"] = SINOGRAMS[number]
            group["Ypdf"] = np.zeros((4, 8), np.float32)
        file["about"] = "not a shot"
    np.testing.assert_array_equal(read(tmp_path / "shots.h5"), SINOGRAMS[:30])


def test_what_is_no_file_of_sinograms_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(AnalysisError, match=r"no\.npz: there is no such file"):
        read(tmp_path / "no.npz")
    np.savez(tmp_path / "b.npz", images=SINOGRAMS)
    with pytest.raises(AnalysisError, match=r"has no array 'ximg' but images"):
        read(tmp_path / "b.npz")
    np.savez(tmp_path / "none.npz", ximg=SINOGRAMS[:0])
    with pytest.raises(AnalysisError, match=r"none\.npz: 'ximg' holds no sinograms"):
        read(tmp_path / "none.npz")
    np.savez(tmp_path / "c.npz", ximg=SINOGRAMS[0])
    with pytest.raises(AnalysisError, match=r"'ximg' has the shape \(4, 8\)"):
        read(tmp_path / "c.npz")
    whole = (tmp_path / "b.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(AnalysisError, match=r"cut\.npz: cannot be read .*copy it again"):
        read(tmp_path / "cut.npz")
    (tmp_path / "d.h5").write_text("nothing of the kind")
    with pytest.raises(AnalysisError, match=r"d\.h5: cannot be read"):
        read(tmp_path / "d.h5")
    with h5py.File(tmp_path / "e.h5", "w") as file:
        file["other"] = 1
    with pytest.raises(AnalysisError, match=r"neither a dataset 'ximg' nor groups"):
        read(tmp_path / "e.h5")
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["a/Ximg"], file["b/Ximg"] = SINOGRAMS[0], SINOGRAMS[0, :2]
    with pytest.raises(AnalysisError, match="differ in shape"):
        read(tmp_path / "f.h5")
