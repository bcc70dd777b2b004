"""Pure: the models of logger."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class LoggerModel:
    """A model of logger: noise and range of its probes, memory in readings, battery life at 20 °C.

    `steps_per_k` is how many steps of the converter make one kelvin. A temperature beyond the range is read
    as its end.
    """

    name: str
    two_probes: bool
    noise_c: float
    steps_per_k: float
    low_c: float
    high_c: float
    calibration_c: float
    memory: int
    battery_days: float


MODELS = {
    model.name: model
    for model in (
        LoggerModel(
            name="cryo-1",
            two_probes=False,
            noise_c=0.12,
            steps_per_k=10,
            low_c=-200,
            high_c=100,
            calibration_c=0.3,
            memory=16_000,
            battery_days=120,
        ),
        LoggerModel(
            name="cryo-2",
            two_probes=True,
            noise_c=0.12,
            steps_per_k=10,
            low_c=-270,
            high_c=1000,
            calibration_c=0.3,
            memory=32_000,
            battery_days=60,
        ),
        LoggerModel(
            name="chip",
            two_probes=False,
            noise_c=0.05,
            steps_per_k=16,
            low_c=-90,
            high_c=85,
            calibration_c=0.2,
            memory=4_096,
            battery_days=365,
        ),
    )
}
