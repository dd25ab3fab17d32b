"""Options that the commands on files of frames have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

FilesOfFrames = Annotated[list[Path], typer.Argument(help="HDF5 or NPZ files of frames.")]
Dataset = Annotated[
    str | None, typer.Option(help="Dataset (HDF5) or array (NPZ), if several could be meant.")
]
Mask = Annotated[Path | None, typer.Option(help="NPY file, true where a pixel is good.")]
Geometry = Annotated[
    Path | None,
    typer.Option(
        help="Geometry file: CrystFEL .geom, DIALS .expt (JSON) or NeXus NXmx; by default that "
        "of the frames' own file, if it holds one."
    ),
]
Cell = Annotated[
    str, typer.Option(help="a,b,c,alpha,beta,gamma[,centering] in angstrom and degrees.")
]
DistanceMm = Annotated[float | None, typer.Option(help="Sample to detector, in mm.")]
PixelUm = Annotated[float | None, typer.Option(help="Pixel edge, in um.")]
Wavelength = Annotated[float | None, typer.Option(help="Wavelength, in angstrom.")]
BeamCenter = Annotated[
    str | None, typer.Option(help="slow,fast where the beam meets the detector, in pixels.")
]
MinSnr = Annotated[
    float, typer.Option(help="Least counts of a spot over the noise of the background under it.")
]
MaxSpots = Annotated[int, typer.Option(help="Brightest spots kept of each frame.")]
Saturation = Annotated[
    float | None, typer.Option(help="Counts at and above which a pixel is saturated.")
]
Device = Annotated[
    str, typer.Option(help="Torch device that does the work, such as cpu, cuda or cuda:1.")
]
JsonOutput = Annotated[
    bool, typer.Option("--json", help="Print one JSON object instead of a table.")
]
