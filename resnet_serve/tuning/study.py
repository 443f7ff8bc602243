"""The study: Optuna suggests configurations, and a journal keeps what was measured of them.

The journal is a file of Optuna's JournalStorage, which only grows: a run that was killed goes on
from it. A trial that was being measured then is suggested again, and so is one that failed, as what
made it fail may be gone. Its trials have the value of `Goal.value`, and the whole `Trial` as an
attribute.
"""

from __future__ import annotations

import contextlib
import json
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast

from resnet_serve import durable
from resnet_serve.errors import HostError, UsageError
from resnet_serve.optional import optional
from resnet_serve.tuning.configuration import Configuration
from resnet_serve.tuning.space import Space
from resnet_serve.tuning.trials import State, Trial

if TYPE_CHECKING:
    import optuna
    from optuna.storages import journal as journals
else:
    optuna = optional("optuna", extra="tune")
    journals = optional("optuna.storages.journal", extra="tune")

_NAME, _ABOUT, _TRIAL, _DONE = "resnet-serve tune", "about", "trial", "done"
_SEED = 2016
_LOWEST = -1e9  # a value of a trial without points
_RANDOM_TRIALS = 1  # the openings are not random; after them the sampler knows enough


class _Held:
    """The lock of the journal: it is held as long as the study is open."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        return None


class Study:
    """An open study; `close` it. `trials` are those that were measured, in their order."""

    def __init__(self, journal: Path, space: Space, found: Any) -> None:
        self._journal, self._space, self._found = journal, space, found
        self._lock = contextlib.ExitStack()
        self._asked: Any = None
        self._last = 0
        self.trials: list[Trial] = []

    @classmethod
    def opened(cls, journal: Path, space: Space, about: Mapping[str, Any], *, resume: bool) -> Self:
        """Begin a study, or go on with the one of the journal where it has measured something.

        `about` is what must be the same then. Raises `UsageError` where there is none to go on
        with, or another one, or one to go on with and `resume` is not given; `HostError` where
        another process has it open.
        """
        with contextlib.ExitStack() as lock:
            lock.enter_context(_alone(journal))
            study = cls._opened(journal, space, about, resume=resume)
            study._lock = lock.pop_all()
        return study

    @classmethod
    def _opened(
        cls, journal: Path, space: Space, about: Mapping[str, Any], *, resume: bool
    ) -> Self:
        there = journal.is_file() and journal.stat().st_size > 0
        if resume and not there:
            raise UsageError("there is no run to go on with", remedy="Leave out --resume.")
        kept = there and _has_trials(journal)
        if kept and not resume and not _complete(journal):
            raise UsageError(
                f"{journal} has a run that did not end",
                remedy="--resume goes on with it; to begin again, remove the file.",
            )
        if there and not (kept and resume):
            # Without a trial the present configuration was not measured, which has to be the first.
            journal.unlink()
        _cut(journal)
        backend = journals.JournalFileBackend(str(journal), lock_obj=cast("Any", _Held()))
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the multivariate sampler is called experimental
            sampler = optuna.samplers.TPESampler(
                seed=_SEED, n_startup_trials=_RANDOM_TRIALS, multivariate=True
            )
            found = optuna.create_study(
                storage=optuna.storages.JournalStorage(backend),
                sampler=sampler,
                study_name=_NAME,
                direction="maximize",
                load_if_exists=True,
            )
        study = cls(journal, space, found)
        study._begin(json.loads(json.dumps(about)))
        return study

    def _begin(self, about: Mapping[str, Any]) -> None:
        before = self._found.user_attrs.get(_ABOUT)
        if before is None:
            for each in self._space.openings():
                self._found.enqueue_trial(self._space.choices(each))
            self._found.set_user_attr(_ABOUT, about)
        elif before != about:
            changed = sorted(key for key in {*before, *about} if before.get(key) != about.get(key))
            raise UsageError(
                f"the run of {self._journal} was another one: {', '.join(changed)} changed",
                remedy="Give its options again, or remove the file and leave out --resume.",
            )
        self._found.set_user_attr(_DONE, False)
        states = optuna.trial.TrialState
        failed: list[Configuration] = []
        for frozen in self._found.get_trials(deepcopy=False):
            recorded = frozen.user_attrs.get(_TRIAL)
            if recorded is not None:
                trial = Trial.from_json(recorded["trial"])
                if trial.state is State.FAILED:
                    failed.append(trial.configuration)
                else:
                    self.trials.append(trial)
                self._last = max(self._last, trial.number)
                if frozen.state == states.RUNNING:  # killed between the two writes
                    self._found.tell(frozen.number, recorded["value"])
            elif frozen.state == states.RUNNING:
                self._found.tell(frozen.number, state=states.FAIL)
                if set(frozen.params) == set(self._space.values):
                    self._found.enqueue_trial(frozen.params)
        measured = [each.configuration for each in self.trials]
        for place, each in enumerate(failed):
            if each not in measured and each not in failed[:place]:
                self.suggest(each)

    def ask(self) -> Configuration:
        """The configuration that the optimizer suggests; it may have been measured before."""
        self._asked = self._found.ask()
        return self._space.configuration(
            {
                name: self._asked.suggest_categorical(name, list(values))
                for name, values in self._space.values.items()
            }
        )

    def suggest(self, configuration: Configuration) -> None:
        """Have it suggested next."""
        self._found.enqueue_trial(self._space.choices(configuration))

    def tell(self, trial: Trial, value: float) -> None:
        """Record what the asked configuration gave."""
        recorded = {"trial": trial.to_json(), "value": _finite(value)}
        self._asked.set_user_attr(_TRIAL, recorded)
        self._found.tell(self._asked, _finite(value))
        self.trials.append(trial)
        self._last = trial.number

    def repeat(self, value: float) -> None:
        """Give the optimizer the value of a configuration that is among the trials already."""
        self._found.tell(self._asked, _finite(value))

    def end(self) -> None:
        """Record that the run is complete: another one begins anew."""
        self._found.set_user_attr(_DONE, True)

    def close(self) -> None:
        """Let another process open it."""
        self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def number(self) -> int:
        """The number of the next trial."""
        return self._last + 1

    @property
    def measured(self) -> Sequence[Trial]:
        """The trials that took time: all but those that are equal to another one."""
        return [trial for trial in self.trials if trial.state is not State.EQUAL]


def _finite(value: float) -> float:
    return value if math.isfinite(value) else _LOWEST


def _alone(journal: Path) -> AbstractContextManager[None]:
    lock = journal.with_suffix(".lock")
    with durable.explained(journal):
        lock.parent.mkdir(parents=True, exist_ok=True)
        lock.touch()
    busy = HostError(
        "another run writes this journal",
        where=journal,
        remedy="Wait for it, or give another --output.",
    )
    return durable.locked(lock, busy)


def _lines(journal: Path) -> Iterator[dict[str, Any]]:
    with contextlib.suppress(FileNotFoundError):
        for line in journal.read_text(encoding="utf-8", errors="replace").splitlines():
            with contextlib.suppress(ValueError):
                found = json.loads(line)
                if isinstance(found, dict):
                    yield found


def _has_trials(journal: Path) -> bool:
    return any(_TRIAL in each.get("user_attr", {}) for each in _lines(journal))


def _complete(journal: Path) -> bool:
    """Whether the run of a journal ended; the last line that says so counts."""
    done = [
        each["user_attr"][_DONE] for each in _lines(journal) if _DONE in each.get("user_attr", {})
    ]
    return bool(done and done[-1])


def _cut(journal: Path) -> None:
    """Remove a last line that a kill left incomplete."""
    if journal.is_file():
        data = journal.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        if whole != data:
            durable.write(journal, whole)
