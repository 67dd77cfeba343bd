"""How the facility classes of plugins differ from what the toolkit promises of one: a file a plugin, found by the class."""

from tom_cadence.facilities.adapters.plugin import Adapter, adapter_of

__all__ = ['Adapter', 'adapter_of']
