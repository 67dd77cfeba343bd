"""A facility whose form has no name, as some have."""

from __future__ import annotations

from typing import Any

from custom_code.observatory import ObservatoryImagingForm, SimulatedObservatoryFacility


class NamelessForm(ObservatoryImagingForm):
    """The observatory's form without a name."""

    name = None

    def layout(self) -> Any:
        """Without the name."""
        return 'start'


class NamelessObservatory(SimulatedObservatoryFacility):
    """Its facility."""

    name = 'Nameless observatory'
    observation_forms = {'IMAGING': NamelessForm}

    def get_form(self, observation_type: Any) -> Any:
        """The form without a name."""
        return NamelessForm
