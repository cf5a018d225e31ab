"""The groups of a sweep, which stand beside the keys of its runs: `sweep=` says which jobs, `launcher=` where."""

from tlplug.contracts.launcher_settings import LocalSettings, RaySettings, SlurmSettings
from tlplug.contracts.search_settings import OptunaSettings, SweepSettings

SWEEPS: dict[str, type] = {"grid": SweepSettings, "optuna": OptunaSettings}
LAUNCHERS: dict[str, type] = {"local": LocalSettings, "slurm": SlurmSettings, "ray": RaySettings}
