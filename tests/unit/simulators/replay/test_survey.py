"""A survey counts what there is to send."""

from simulators.replay.survey import MessageSurvey, survey_messages
from tests.unit.simulators.replay.messages import MESSAGES


def test_a_survey_counts():
    assert survey_messages(MESSAGES) == MessageSurvey(5, 4, 2, 1_795_225_500_000, 1_795_232_760_000)
    assert survey_messages([]) == MessageSurvey(0, 0, 0, None, None)
