from tests.property.machine import *
from tom_cadence.models import *


def test_it(machine):
    state = Nights()
    state.begin(
        seed=0, workers=1, facilities=['Simulated observatory'], strategies=[0, 0, 0], hours=4, parameters={'cadence_frequency': 6}
    )
    try:
        state.disturbed_night(
            kind='frozen for long',
            minutes=1,
            outcomes=['COMPLETED'],
            parameters={'cadence_frequency': 6},
            passes=0,
            point=Point('claimed'),
            which=0,
        )
    finally:
        for e in state.world.observatory.log():
            print(e['created'], e['start'], e['end'], e['beside'], e['state'])
        print(state.begun, Time.now, state.world.froze)
        for s in Submission.objects.all():
            print(s, s.created, s.message, s.window_start)
        for s in CadenceRun.objects.all():
            print(s, s.last, s.count)
    state.teardown()
