"""Pure: the scenarios by name, as data: what happens to a shipment, and which mix of that a fleet meets."""

from dataclasses import dataclass

from simulators.lanes import LANES, SHORT_LANES, Stage
from simulators.shippers import SHIPPERS, Trouble


@dataclass(frozen=True, kw_only=True, slots=True)
class Happening:
    """A trouble that begins so many minutes after the first such stage did, and lasts; each drawn from a range.

    A negative `after_min` is before the stage.
    """

    trouble: Trouble
    stage: Stage
    after_min: tuple[float, float]
    lasts_min: tuple[float, float] = (1e6, 1e6)


@dataclass(frozen=True, kw_only=True, slots=True)
class Story:
    """What one shipment goes through: in which shipper, on which lanes, with which stays other than usual."""

    name: str
    shippers: tuple[str, ...] = tuple(SHIPPERS)
    lanes: tuple[tuple[str, ...], ...] = LANES
    stays_min: tuple[tuple[Stage, tuple[float, float]], ...] = ()
    happenings: tuple[Happening, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Scenario:
    """A mix of stories by weight; those in `first` are what the first loggers of a fleet go through, in order."""

    says: str
    mix: tuple[tuple[float, Story], ...]
    first: tuple[Story, ...] = ()


QUIET = Story(name="quiet-but-fine")

LID_LEFT_OPEN = Story(
    name="lid-left-open",
    shippers=("nitrogen", "dry-ice", "box-5"),
    stays_min=(("hub", (90, 150)),),
    happenings=(Happening(trouble="lid_open", stage="hub", after_min=(5, 30), lasts_min=(25, 40)),),
)

NITROGEN_RUNS_OUT = Story(
    name="nitrogen-runs-out",
    shippers=("nitrogen",),
    happenings=(Happening(trouble="nitrogen_gone", stage="hub", after_min=(-15, 15)),),
)

TARMAC_HEAT = Story(
    name="tarmac-heat",
    shippers=("box-5", "box-20"),
    stays_min=(("hub", (210, 270)),),
    happenings=(Happening(trouble="hot_tarmac", stage="hub", after_min=(10, 20), lasts_min=(170, 190)),),
)

DEAD_PROBE = Story(
    name="dead-probe",
    happenings=(Happening(trouble="probe_dead", stage="hub", after_min=(0, 40)),),
)

# Somebody looks inside just before take-off. Nobody hears until landing that it has long been cold again.
FLIGHT_UPLOAD = Story(
    name="flight-upload",
    shippers=("nitrogen",),
    lanes=SHORT_LANES,
    stays_min=(("hub", (35, 50)),),
    happenings=(Happening(trouble="lid_open", stage="flight", after_min=(-13, -12), lasts_min=(12, 13)),),
)

# Early enough to be seen within the first minute at 60 times real time.
_LID_OPEN_AT_ONCE = Story(
    name="lid-left-open",
    shippers=("nitrogen",),
    happenings=(Happening(trouble="lid_open", stage="pick-up", after_min=(5, 8), lasts_min=(12, 13)),),
)
_FLIGHT_UPLOAD_SOON = Story(
    name="flight-upload",
    shippers=("nitrogen",),
    lanes=(("ZRH", "AMS"),),
    stays_min=(("pick-up", (20, 25)), ("hub", (35, 40))),
    happenings=FLIGHT_UPLOAD.happenings,
)


def _all_of(story: Story, says: str) -> Scenario:
    return Scenario(says=says, mix=((1, story),))


SCENARIOS = {
    "quiet-but-fine": _all_of(
        QUIET, "Every shipment arrives as it should; in flight the loggers are silent."
    ),
    "lid-left-open": _all_of(LID_LEFT_OPEN, "A lid stays open for half an hour at a hub, then is closed."),
    "nitrogen-runs-out": _all_of(NITROGEN_RUNS_OUT, "The dewar runs dry and warms until it is delivered."),
    "tarmac-heat": _all_of(TARMAC_HEAT, "A phase-change box stands on a hot apron for three hours."),
    "dead-probe": _all_of(DEAD_PROBE, "The probe breaks; the logger goes on without a temperature."),
    "flight-upload": _all_of(
        FLIGHT_UPLOAD, "Warm before take-off, cold in flight; known only after landing."
    ),
    "demo": Scenario(
        says="A mixed fleet over the three bands: most is fine, some troubles come early.",
        first=(_LID_OPEN_AT_ONCE, _FLIGHT_UPLOAD_SOON, TARMAC_HEAT, NITROGEN_RUNS_OUT, DEAD_PROBE),
        mix=(
            (80, QUIET),
            (6, LID_LEFT_OPEN),
            (5, TARMAC_HEAT),
            (3, FLIGHT_UPLOAD),
            (3, NITROGEN_RUNS_OUT),
            (3, DEAD_PROBE),
        ),
    ),
}
