"""A version from elsewhere: found in a folder, and checked before it is copied into a repository.

    /mnt/built/models/net/4    or  /mnt/built/models/net    or  net:4  of the repository itself

Its passport says which files belong to it, and their SHA-256: nothing else is copied, and nothing
that differs. That is the proof too: the converter has linted and compared exactly these files.
"""

from __future__ import annotations

from pathlib import Path

from resnet_serve import passport
from resnet_serve.errors import InputFileError, UsageError
from resnet_serve.passport import ConvertedPassport, EngineState
from resnet_serve.passport.engine import BuiltEngineFacts
from resnet_serve.runtimes import TARGETS
from resnet_serve.triton import image_repository
from resnet_serve.triton.layout import LABELS_FILE
from resnet_serve.triton.repository import CONFIG_FILE, ModelFiles, Repository, changes, versions
from resnet_serve.triton.repository.versions import REPORT_FILE, Deployed
from resnet_serve.verification import files


def find(source: str, repository: Repository) -> Deployed:
    """The version that a folder, or NAME:VERSION of the repository, is.

    Raises `UsageError` where there is none, and `InputFileError` for a folder that is no version.
    """
    folder = Path(source)
    name, colon, number = source.partition(":")
    if not folder.is_dir():
        if colon and number.isascii() and number.isdecimal():
            return changes.find(repository.deployed(), name, int(number))
        raise UsageError(
            f"{source} is neither a folder nor NAME:VERSION",
            remedy="Give a version's folder, as in models/resnet50/2, or resnet50:2.",
        )
    version = versions.find(folder.absolute())
    if not version.name.isdecimal():
        raise InputFileError(
            "is not the folder of a version, which has its number as its name",
            where=version,
            remedy="Give NAME/VERSION of a repository.",
        )
    model = version.parent
    found = versions.deployed(image_repository.first(model.parent))
    return changes.find(found, model.name, int(version.name))


def read(deployed: Deployed) -> list[ModelFiles]:
    """The files of a version, its own model first, each as its passport says.

    Raises `InputFileError` for one that is not, and `UsageError` for what cannot be moved.
    """
    document = deployed.passport
    if not isinstance(document, ConvertedPassport):
        raise UsageError(
            f"{deployed} is composed of the models of its repository",
            remedy=f"Deploy those, then compose it here: {document.command}",
        )
    if document.name != deployed.name:
        raise UsageError(
            f"{deployed} is a copy of {document.name}", remedy=f"Deploy {document.name} itself."
        )
    if document.engine_state is EngineState.NOT_BUILT:
        raise UsageError(
            f"the plan of {deployed} is not built",
            remedy=f"On the GPU host: resnet-convert build-plan {deployed.path}",
        )
    if document.files is None:
        raise UsageError(
            f"an earlier resnet-serve deployed {deployed}, without the hashes of its files",
            remedy="Store them where it is: resnet-serve promote "
            f"{deployed.name} {deployed.version} --repository {deployed.repository}",
        )
    _require_whole(deployed)
    return [_model(deployed, model, tuple(kept)) for model, kept in _ordered(deployed)]


def present(deployed: Deployed, repository: Repository) -> int | None:
    """The number that the very same version has in the repository already."""
    own = (deployed.path / passport.FILE_NAME).read_bytes()
    for number in repository.versions(deployed.name):
        there = repository.directory(deployed.name) / str(number) / passport.FILE_NAME
        if there.is_file() and there.read_bytes() == own:
            return number
    return None


def _require_whole(deployed: Deployed) -> None:
    rows = list(files.of_version(deployed))
    engine = deployed.passport.engine
    if isinstance(engine, BuiltEngineFacts):
        plan = deployed.path / _plan(deployed)
        rows.append(files.compare(plan, engine.plan_sha256, "plan"))
    wrong = [row for row in rows if row.verdict != "ok"]
    if wrong:
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise InputFileError(
            f"{wrong[0].found}{more}", where=str(deployed), remedy="Copy it again from its origin."
        )


def _plan(deployed: Deployed) -> str:
    return TARGETS[deployed.passport.target].model_file


def _ordered(deployed: Deployed) -> list[tuple[str, list[str]]]:
    stated = deployed.passport.files or {}
    return [(model, sorted(stated[model])) for model in deployed.models if model in stated]


def _model(deployed: Deployed, model: str, kept: tuple[str, ...]) -> ModelFiles:
    folder = deployed.directory(model) / str(deployed.version)
    beside = (CONFIG_FILE, LABELS_FILE)
    names = [each for each in kept if each not in beside]
    if model == deployed.name:
        built = isinstance(deployed.passport.engine, BuiltEngineFacts)
        also = (passport.FILE_NAME, REPORT_FILE, *([_plan(deployed)] if built else []))
        names += [each for each in also if each not in names and (folder / each).is_file()]
    labels = {LABELS_FILE: (folder / LABELS_FILE).read_bytes()} if LABELS_FILE in kept else {}
    return ModelFiles(
        model,
        (folder / CONFIG_FILE).read_text(encoding="utf-8"),
        labels,
        {each: (folder / each).read_bytes() for each in names},
    )
