"""A fit of AIM: its model, algorithm, fitted attributes and warnings."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from skmpcc.aim_presets import AIMPreset
from skmpcc.data.inputs import InputFormat, Layout
from skmpcc.data.rows import sort_rows
from skmpcc.method.aim import AIMAlgorithm, AIMModel
from skmpcc.method.networks.dcgan import TABLES
from skmpcc.settings import settings_of
from skmpcc.training.fit import Candidate, PreparedFit, Seeds

# Of a single component that never changes.
_NOT_IN_HISTORY = ("mean_std", "mean_norm", "change")


class PreparedAIM(PreparedFit):
    """A fit of AIM, which is one of MPCC with a single component."""

    @classmethod
    def of(
        cls,
        X: NDArray,
        layout: Layout,
        preset: AIMPreset,
        covariance: str,
        random_state: np.random.RandomState,
        device: torch.device,
        validated: dict[str, Any],
    ) -> "PreparedAIM":
        """Encode X, and build the model."""
        table = TABLES.get(preset.networks)
        size = None if table is None else (table.side, table.side)
        data_format = InputFormat.from_data(X, layout, preset.resizing, size)
        seeds = Seeds.draw(random_state, 1)
        settings = preset.network_settings(covariance)
        model = AIMModel(settings, data_format.tensor_shape, 1, seeds[0].model)
        per_epoch = None
        if preset.learning_rate_schedule == "epochs":
            per_epoch = len(X) // min(preset.batch_size, len(X))
        data = data_format.encode_all(X)
        return cls(
            preset.as_mpcc(),
            data_format,
            X,
            data,
            sort_rows(data),
            None,
            model,
            device,
            seeds,
            validated,
            engine=AIMAlgorithm(
                preset.beta1,
                per_epoch,
                preset.gradient_penalty,
                preset.input_noise_decay,
                preset.generator_power,
            ),
        )

    def attributes(self, candidate: Candidate) -> dict[str, Any]:
        """Fitted attributes of the estimator."""
        history = candidate.outcome.history
        return {
            "_fitted": candidate.fitted,
            "history_": {name: history[name] for name in history if name not in _NOT_IN_HISTORY},
            **self.course(candidate),
        }

    @property
    def settings(self) -> dict[str, Any]:
        """Settings by name, of those that AIM has."""
        of_mpcc = super().settings
        return {name: of_mpcc[name] for name in settings_of(AIMPreset) if name in of_mpcc}

    def warning_texts(self, candidate: Candidate) -> list[str]:
        """Say what is not as it should be with a fit."""
        outcome = candidate.outcome
        n_iter = int(outcome.history["iteration"][-1])
        if outcome.failure is not None:
            return [
                f"The training could not go on after iteration {n_iter}: {outcome.failure}, also at "
                "lower rates. The state before is kept. Lower learning_rate."
            ]
        if outcome.converged or outcome.stopped or self.preset.tol == 0:
            return []
        change = outcome.history["generation_change"][-1]
        return [
            f"The training had not converged after max_iter={n_iter} iterations: in the last entry of "
            f"history_ the error of reconstructions changed by {change:.2g} of the data's variance, tol "
            f"is {self.preset.tol:g}. Raise max_iter or tol."
        ]
