from collections import Counter
from hypothesis.stateful import run_state_machine_as_test
from tests.property import processes, world
def test_it(machine, profile, monkeypatch):
    c=Counter(); b=Counter()
    old=world.World.run
    def run(self, process=None):
        n=len(self.observatory.log())
        try: return old(self, process)
        finally:
            b['runs']+=1; b['booked']+=len(self.observatory.log())-n
            for k,v in self.observatory.faults.committed.items(): b[k]+=0
            if process is not None:
                b['disturbed']+=1
                if process.happened:
                    c[(process.point.value, 'killed' if process.deadly else 'other')]+=1
    monkeypatch.setattr(world.World,'run',run)
    begin=world.World.begin
    def beg(self,*a):
        b.update(self.observatory.faults.committed); b['examples']+=1
        return begin(self,*a)
    clear=type
    monkeypatch.setattr(world.World,'begin',beg)
    from simulators.faults import Faults
    oc=Faults.clear
    def cl(self): b.update(self.committed); oc(self)
    monkeypatch.setattr(Faults,'clear',cl)
    try: run_state_machine_as_test(machine, settings=profile)
    finally:
        print(dict(b)); 
        for k,v in sorted(c.items()): print(k,v)
