"""Prepared: a deployed version whose plan is to be built, here or again, and how it is built.

A version that was moved or changed by hand is refused before anything is built from it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from resnet_convert.tensorrt import rtx_targets
from resnet_convert.tensorrt.build_options import BuildOptions
from resnet_serve import durable, passport
from resnet_serve.datasets.class_labels.files import read_lines
from resnet_serve.errors import InputFileError, UsageError
from resnet_serve.passport import ConvertedPassport
from resnet_serve.runtimes.tensorrt_flavours import FLAVOURS, Flavour
from resnet_serve.triton.layout import LABELS_FILE
from resnet_serve.triton.repository import versions
from resnet_serve.triton.repository.versions import MODEL_FILE


@dataclass(frozen=True)
class Prepared:
    """A version that `resnet-convert --target tensorrt` or `tensorrt-rtx` deployed.

    `targets` are the compute capabilities that its plan is for, none where it is for the GPU here.
    """

    directory: Path
    passport: ConvertedPassport
    options: BuildOptions
    triton: str | None
    targets: tuple[str, ...]

    @property
    def flavour(self) -> Flavour:
        """What builds its plan."""
        return FLAVOURS[self.passport.target]

    def changed(
        self,
        *,
        workspace_mib: int | None,
        level: int | None,
        triton: str | None,
        timing_cache: Path | None,
        gpus: str | None,
    ) -> Prepared:
        """The same with what is not None; raises `UsageError` for what the flavour has not."""
        options = replace(
            self.options,
            workspace_mib=self.options.workspace_mib if workspace_mib is None else workspace_mib,
            level=self.options.level if level is None else level,
        )
        options.check(self.flavour)
        given = {"--triton": triton, "--timing-cache": timing_cache}
        if not self.flavour.targets:
            given = {"--for": gpus}
        for name, value in given.items():
            if value is not None:
                raise UsageError(
                    f"{name} is not for engines of {self.flavour.title}", remedy="Leave it out."
                )
        targets = self.targets
        if self.flavour.targets and (gpus is not None or not targets):
            targets = rtx_targets.chosen(gpus, self.passport.precision)
        return replace(self, options=options, triton=triton or self.triton, targets=targets)

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the classes, beside the version; their numbers where there is no file."""
        classes = self.passport.classes or 0
        file = self.directory.parent / LABELS_FILE
        names = read_lines(file) if file.is_file() else ()
        return names if len(names) == classes else tuple(map(str, range(classes)))

    @classmethod
    def open(cls, directory: Path) -> Prepared:
        """A model's directory (its newest version) or a version's; checks the files' hashes."""
        version = versions.find(directory)
        found = passport.read(version / passport.FILE_NAME)
        if (
            found.target not in FLAVOURS
            or found.engine is None
            or not isinstance(found, ConvertedPassport)
        ):
            raise UsageError(
                f"{version} was converted for {found.target}, which build-plan does not build",
                remedy=f"Convert it with --target {' or '.join(FLAVOURS)}.",
            )
        model = version / MODEL_FILE
        if not model.is_file():
            raise InputFileError("there is no such file", where=model, remedy="Convert it again.")
        if durable.sha256(model) != found.model.sha256:
            raise InputFileError(
                "is not the file that its passport describes (its SHA-256 differs)",
                where=model,
                remedy="Copy the version again, or convert it again.",
            )
        options = BuildOptions.from_json(found.engine.to_json())
        return cls(version, found, options, found.engine.triton, found.engine.targets or ())
