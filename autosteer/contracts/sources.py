"""Where shots come from: the experiment file's section ``source``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from autosteer.contracts._section import Section


class OutsideProducer(Section):
    """Somebody else's producer of tables; it listens on a port for each of its consumers."""

    name: str = Field(
        pattern=r"^[A-Za-z][A-Za-z0-9_-]*$", description="What it calls itself in its messages"
    )
    agent: str = Field(description="tcp://127.0.0.1:port on which it serves the agent")
    recorder: str = Field(description="tcp://127.0.0.1:port on which it serves the recorder")


class _SourceSection(Section):
    rate_hz: PositiveFloat = Field(description="Shots per second")
    pulse_stride: PositiveInt = Field(default=1, description="Pulse ids from shot to shot")
    producers: tuple[OutsideProducer, ...] = Field(
        default=(), description="Where tables come from that nothing of autosteer makes"
    )


class _ShotSourceSection(_SourceSection):
    addresses: tuple[str, ...] = Field(
        default=(),
        description="Where nothing is simulated: tcp://127.0.0.1:port of the stream, one a worker; "
        "of sinograms, one a channel for the first worker, then those of the next",
    )


class FrameSourceSection(_ShotSourceSection):
    """Detector frames, analysed by autosteer's worker."""

    kind: Literal["frames"]


class SpotListSourceSection(_ShotSourceSection):
    """Spot lists in place of frames; the worker indexes them."""

    kind: Literal["spot_lists"]
    path: str | None = Field(
        default=None,
        description="Simulation: NPZ with q (n, spots, 3) in 1/angstrom, NaN-padded",
    )
    key: str = Field(default="q", description="Name of the array in the file")


class SinogramSourceSection(_ShotSourceSection):
    """Streaking sinograms, a stream for each channel of the spectrometer."""

    kind: Literal["sinograms"]
    channels: int = Field(default=16, ge=4, le=64, description="Channels round the beam")
    bins: int = Field(default=512, ge=64, le=4096, description="Energy bins of a channel")


class TableSourceSection(_SourceSection):
    """Result tables that somebody else's analysis publishes."""

    kind: Literal["tables"]
    flush_s: PositiveFloat = Field(
        default=0.01, description="Simulated producer: a micro-batch leaves after this time [s]"
    )


Source = Annotated[
    FrameSourceSection | SpotListSourceSection | SinogramSourceSection | TableSourceSection,
    Field(discriminator="kind"),
]
