"""What other programs make of a model folder: those that are installed are run, the others checked by their rules."""

from __future__ import annotations

from distilrank.export.consumers.check import Checked, check_consumers
from distilrank.export.consumers.folder import ModelFolder, open_folder

__all__ = ["Checked", "ModelFolder", "check_consumers", "open_folder"]
