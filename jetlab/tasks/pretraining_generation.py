"""How well an encoder generates after a short training: the second task of a study of pretraining."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from jetlab.errors import InvalidJetsError, JetLabError
from jetlab.jets import Jets
from jetlab.models.prompts import PromptConfig, PromptModel
from jetlab.objectives import FlowMatching
from jetlab.samplers import generate
from jetlab.tasks.generation import generation_table
from jetlab.tasks.jetflow import fit_constituents, untrained_jetflow
from jetlab.tasks.points import write_text
from jetlab.tasks.prompts import train_prompts

if TYPE_CHECKING:
    from jetlab.models.jepa_encoder import JetEncoder
    from jetlab.models.jetflow import JetFlow

__all__ = ["GenerationEffort", "GenerationTask", "of_classes"]


@dataclass(frozen=True)
class GenerationEffort:
    """How much is spent on generation, the same for every encoder.

    Parameters
    ----------
    steps : int
        Of learning to generate, all weights of the encoder included; 0 leaves generation out.
    prompt_steps : int
        Of the model of whole jets that is asked with, which all share.
    jets : int
        Jets of each class that are generated and compared.
    path : int
        Steps from noise to jets.
    observables : tuple of str
        Of which generated jets are compared with true ones.
    bootstrap : int
        Resamplings for uncertainties and floors.

    Raises
    ------
    JetLabError
        If a number makes no sense.
    """

    steps: int = 300
    prompt_steps: int = 500
    jets: int = 200
    path: int = 8
    observables: tuple[str, ...] = ("mass", "tau21", "tau32", "constituent_pt", "constituent_deta")
    bootstrap: int = 50

    def __post_init__(self) -> None:
        if self.steps < 0 or min(self.prompt_steps, self.path) < 1 or self.jets < 2 or not self.observables:
            msg = f"found {self}; expected at least 2 jets, 1 step each and one observable, or no steps of learning"
            raise JetLabError(msg)


class GenerationTask:
    """Jets to learn from and to compare with, and what all generators are asked with.

    Parameters
    ----------
    train, test : Jets
        Labelled jets with the same class list.
    folder : Path
        Keeps the model of whole jets.
    classes : sequence of str
        To learn and to generate.
    effort : GenerationEffort
    batch_size, lr
        Of learning to generate.
    progress, stop
        As for `jetlab.fit`.
    """

    def __init__(
        self,
        train: Jets,
        test: Jets,
        folder: Path,
        *,
        classes: Sequence[str],
        effort: GenerationEffort,
        batch_size: int,
        lr: float,
        progress: bool | Callable[[int, int], None] = False,
        stop: Callable[[], bool] | None = None,
    ) -> None:
        self.train, self.folder, self.classes, self.effort = of_classes(train, classes), folder, classes, effort
        self.true = _first(of_classes(test, classes), dict.fromkeys(classes, effort.jets))
        self.batch_size, self.lr, self.progress, self.stop = batch_size, lr, progress, stop
        self._prompts: PromptModel | None = None

    def measure(self, encoder: JetEncoder, place: Path, *, seed: int) -> bool:
        """Train a generator that begins with an encoder, and keep how far its jets are from true ones.

        The table, as of `jetlab.tasks.generation.generation_table`, is ``generation.csv`` in the folder `place`.

        Returns
        -------
        bool
            False if stopped.
        """
        model = self._trained(encoder, place, seed=seed)
        ours = None if model is None else self._generated(model, seed=seed)
        if ours is None:
            return False
        found = generation_table(
            ours, self.true, observables=self.effort.observables, bootstrap=self.effort.bootstrap, floors=0, seeds=(),
            seed=seed,
        )  # fmt: skip
        write_text(place / "generation.csv", found.to_csv(index=False))
        return True

    def _trained(self, encoder: JetEncoder, place: Path, *, seed: int) -> JetFlow | None:
        prompts = self._asks(encoder.config.recipe.max_particles)
        if prompts is None:
            return None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = untrained_jetflow("tiny", self.train.classes, network="jepa", start=encoder)
        model.prompts.load_state_dict(prompts.state_dict())
        run = fit_constituents(
            model, model.prepare(self.train),
            objective=FlowMatching(classes=False, mean_over="particles", unit="noise"),
            steps=self.effort.steps, batch_size=self.batch_size, lr=self.lr, device="cpu", seed=seed,
            out=place / "generator", title="generator", progress=self.progress, stop=self.stop,
        )  # fmt: skip
        return model if run.finished else None

    def _generated(self, model: JetFlow, *, seed: int) -> Jets | None:
        """As many jets of each class as there are true ones; None if stopped."""
        counts = self.true.class_counts()
        n = len(self.classes) * max(counts.values())
        try:
            jets = generate(
                model, n, classes=self.classes, seed=seed, steps=self.effort.path, batch_size=200, progress=False,
                stop=self.stop,
            )  # fmt: skip
        except JetLabError:
            if self.stop is not None and self.stop():
                return None
            raise
        return _first(jets, counts) if len(jets) == n else None

    def _asks(self, longest: int) -> PromptModel | None:
        """The model of whole jets that all generators share; None if stopped."""
        if self._prompts is None:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                model = PromptModel(PromptConfig(classes=len(self.train.classes), max_multiplicity=longest))
            run = train_prompts(
                model, self.train, self.train, steps=self.effort.prompt_steps, batch_size=20 * self.batch_size,
                device="cpu", seed=0, out=self.folder / "prompts", title="prompts", progress=self.progress,
                stop=self.stop,
            )  # fmt: skip
            self._prompts = model if run.finished else None
        return self._prompts


def of_classes(jets: Jets, names: Sequence[str]) -> Jets:
    """The jets of these classes.

    Raises
    ------
    InvalidJetsError
        If there are none of one of them.
    """
    counts = jets.class_counts() if jets.label is not None else {}
    if missing := [name for name in names if not counts.get(name)]:
        msg = f"there are no jets of {', '.join(missing)}; there are {', '.join(counts) or 'no labelled ones'}"
        raise InvalidJetsError(msg)
    return jets[np.isin(_labels(jets), [jets.classes.index(name) for name in names])]


def _first(jets: Jets, counts: dict[str, int]) -> Jets:
    """The first jets of each class, so many or all that there are, in their order."""
    label = _labels(jets)
    rows = [np.flatnonzero(label == jets.classes.index(name))[:n] for name, n in counts.items()]
    return jets[np.sort(np.concatenate(rows))]


def _labels(jets: Jets) -> npt.NDArray[np.int64]:
    return np.empty(0, np.int64) if jets.label is None else jets.label
