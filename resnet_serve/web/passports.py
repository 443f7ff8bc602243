"""Passports: what the repository says of each served version, for the columns of the page."""

from __future__ import annotations

from typing import Any

from resnet_serve.errors import InputFileError
from resnet_serve.passport import ConvertedPassport, Passport
from resnet_serve.triton.repository import examples
from resnet_serve.triton.repository.versions import REPORT_FILE, Deployed
from resnet_serve.web.catalog import Catalog, Served
from resnet_serve.web.messages import Model, Models
from resnet_serve.web.places import Places
from resnet_serve.web.settings import Settings

MOST_EXAMPLES = 12


def listed(catalog: Catalog, settings: Settings) -> Models:
    """Every served version; raises what the catalog raises, and `InputFileError`."""
    versions = catalog.versions(fresh=True)
    deployed = catalog.places.deployed()
    models = [_model(each, deployed.get((each.model, each.version))) for each in versions]
    known = catalog.places.address().metrics is not None
    return Models(
        models=tuple(models),
        max_body_bytes=settings.max_body_bytes,
        secured=settings.token is not None,
        live=known,
    )


def _model(served: Served, deployed: Deployed | None) -> Model:
    contract = served.contract
    plain = Model(
        model=served.model,
        version=served.version,
        labels=served.labels_id,
        classes=contract.classes,
        activation=contract.activation.kind,
    )
    if deployed is None:
        return plain
    return Model(**{**vars(plain), **_facts(deployed)})


def _facts(deployed: Deployed) -> dict[str, Any]:
    passport = deployed.passport
    speedup = passport.latency.speedup
    why = None if speedup is None else speedup.not_stated
    place = f"/models/{deployed.name}/{deployed.version}"
    kept = images(deployed)
    return {
        "network": passport.architecture,
        "precision": passport.precision,
        "target": passport.target,
        "size_bytes": _size(passport),
        "speedup": None if speedup is None or why is not None else speedup.median,
        "speedup_not_stated": why,
        "agreement": passport.parity.agreement,
        "passport": f"{place}/passport",
        "report": f"{place}/report" if (deployed.path / REPORT_FILE).is_file() else None,
        "examples": min(MOST_EXAMPLES, len(kept)),
    }


def _size(passport: Passport) -> int | None:
    """The bytes of the model file; a composed model has none of its own."""
    return passport.model.size_bytes if isinstance(passport, ConvertedPassport) else None


def images(deployed: Deployed) -> tuple[bytes, ...]:
    """The example images that a version keeps; none where it keeps none, or they are damaged."""
    try:
        kept = examples.read(deployed.path, ())
    except InputFileError:  # `verify` is what judges them
        return ()
    return () if kept is None else kept.images


def find(places: Places, model: str, version: str) -> Deployed | None:
    """A version in the repository."""
    return places.deployed().get((model, version))
