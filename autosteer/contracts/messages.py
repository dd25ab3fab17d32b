"""The header that every message on the wire carries, validated once per batch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

WIRE_MAJOR = 1
WIRE_MINOR = 0

MAX_HEADER_BYTES = 4096
MAX_ROWS = 65_536
MAX_TABLE_BYTES = 16 * 1024 * 1024
MAX_FRAMES_BYTES = 512 * 1024 * 1024

_Count = Annotated[int, Field(ge=0, lt=2**63)]
_PulseId = Annotated[int, Field(ge=0, lt=2**64)]
_Name = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9_.:-]+$")]


class FramesInfo(BaseModel):
    """Type and shape of a raw buffer of frames.

    The buffer is C-contiguous, of shape ``(n, *shape)``.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    dtype: Annotated[str, Field(pattern=r"^[<|][uif][1248]$")]
    shape: Annotated[tuple[Annotated[int, Field(gt=0, le=65_536)], ...], Field(max_length=4)]


def sinogram_channel(number: int) -> str:
    """Name the stream of one channel of a streaking spectrometer: the `Header.kind` of its frames.

    Parameters
    ----------
    number : int
        The channel, from 0.

    Returns
    -------
    str
        Its name.

    Examples
    --------
    >>> sinogram_channel(7)
    'sinogram-07'
    """
    return f"sinogram-{number:02d}"


OUTSIDE_RUN = "outside"
"""`Header.run_uid` of a producer that is not part of any run: a facility's own."""


class Header(BaseModel):
    """What every message says of itself.

    Unknown fields of a newer minor version are ignored; another major version is refused.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    wire: Annotated[str, Field(pattern=r"^\d{1,4}\.\d{1,4}$")] = f"{WIRE_MAJOR}.{WIRE_MINOR}"
    message: Literal["table", "frames", "heartbeat"]
    source: _Name
    """Name of the producer, unique within a run."""
    kind: _Name
    """Table kind, or what the frames are; the topic of the message."""
    run_uid: _Name
    boot_uid: _Name
    """Changes each time the producer starts."""
    seq: _Count
    """Running number per source, kind and boot, from 0; a heartbeat repeats the next one."""
    schema_hash: Annotated[str, Field(max_length=64)] = ""
    n: Annotated[int, Field(ge=0, le=MAX_ROWS)] = 0
    """Rows of the table, or frames in the buffer."""
    first_pulse_id: _PulseId = 0
    last_pulse_id: _PulseId = 0
    """Shots covered, from first to last by the stride, whether or not each has a row."""
    pulse_stride: Annotated[int, Field(gt=0, lt=2**32)] = 1
    t_first_shot_ns: int = 0
    t_sent_ns: int = 0
    clock_id: Annotated[str, Field(max_length=128)] = ""
    """Whose clock the times are of."""
    end_of_stream: bool = False
    dropped: _Count = 0
    """Shots that this producer has dropped so far on the way to this consumer."""
    frames: FramesInfo | None = None
