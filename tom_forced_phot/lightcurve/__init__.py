"""A target's light curve: stored points of any origin as columns, what the switches make of them, and ways to hand it out.

``reading`` reads rows, ``cadences`` asks the other app for its windows; everything else is values in, values out.
"""
