"""The engine in a passport: its states, and a plan with what proved it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from passports import DECISIONS, NUMERICS, converted, engine, plan

from resnet_serve import passport
from resnet_serve.host import describe
from resnet_serve.passport import (
    BuiltEngineFacts,
    EngineFacts,
    EngineState,
    GateFacts,
    MalformedFactsError,
    ParityFacts,
)


def test_the_states_are_words_of_the_file() -> None:
    assert [str(state) for state in EngineState] == [
        "built",
        "built but never run",
        "plan not built",
        "built by the server",
    ]


@pytest.mark.parametrize("state", [EngineState.NOT_BUILT, EngineState.BY_SERVER])
def test_an_engine_without_a_plan(state: EngineState, tmp_path: Path) -> None:
    path = tmp_path / passport.FILE_NAME
    path.write_bytes(converted(engine=engine(state=state)).to_bytes())
    found = passport.read(path)
    assert found.engine_state is state
    assert type(found.engine) is EngineFacts
    assert "plan_sha256" not in found.engine.to_json()


def test_a_plan(tmp_path: Path) -> None:
    path = tmp_path / passport.FILE_NAME
    path.write_bytes(converted(engine=plan()).to_bytes())
    found = passport.read(path)
    assert found.engine_state is EngineState.BUILT
    assert isinstance(found.engine, BuiltEngineFacts)
    assert found.engine == plan()
    assert found.engine.latency[1].median_ms == 0.5
    assert not {"parity", "gate", "host", "versions"} & set(found.engine.to_json())


def test_a_plan_that_was_built_without_its_gpu() -> None:
    built = replace(plan(), state=EngineState.NOT_RUN, gpu=None, targets=("8.6", "12.0"))
    written = built.to_json()
    assert (written["gpu"], written["targets"]) == (None, ["8.6", "12.0"])
    assert EngineFacts.from_json(written) == built
    assert "targets" not in plan().to_json()


def test_a_plan_with_a_proof_of_its_own() -> None:
    made = replace(
        plan(),
        parity=ParityFacts(
            runtime="tensorrt",
            of="logits",
            images="digits",
            images_sha256="2" * 64,
            numerics=NUMERICS,
            decisions=DECISIONS,
        ),
        gate=GateFacts(passed=True, checks=(), overridden=False),
        host=describe(),
        versions=passport.versions(),
    )
    written = made.to_json()
    assert "layers" not in written["parity"]
    assert EngineFacts.from_json(written) == made


def test_a_plan_that_lacks_something_is_refused() -> None:
    written = plan().to_json()
    del written["plan_sha256"]
    with pytest.raises(MalformedFactsError, match=r"engine\.plan_sha256 is missing"):
        EngineFacts.from_json(written, "engine")
    with pytest.raises(
        MalformedFactsError,
        match="state is 'lost', not one of built, built but never run, plan not",
    ):
        EngineFacts.from_json({**written, "state": "lost"})
