"""What it costs to know when a target is up: three months over seven sites, in processor time, nothing kept from before.

``python -m tests.benchmarks.sky``. Needs no database and no network.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone

from tom_cadence.core.visibility import Constraints, Site, Sky

PLACES = {
    'Sutherland': (-32.38, 20.81, 1804),
    'McDonald': (30.68, -104.02, 2027),
    'Haleakala': (20.71, -156.26, 3065),
    'Siding Spring': (-31.27, 149.07, 1116),
    'Cerro Tololo': (-30.17, -70.81, 2198),
    'Tenerife': (28.3, -16.51, 2390),
    'Wise': (30.6, 34.76, 875),
}
SITES = tuple(Site(name=name, latitude=place[0], longitude=place[1], elevation=place[2]) for name, place in PLACES.items())
START = datetime(2026, 11, 30, 3, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)


def sky(sites: tuple[Site, ...], ra: float, dec: float) -> Sky:
    """Everything that can be asked of it."""
    asked = Constraints(min_altitude=40, max_airmass=1.6, darkness='astronomical', min_moon_distance=30)
    return Sky(sites=sites, ra=ra, dec=dec, constraints=asked)


def seconds(sites: tuple[Site, ...], begin: datetime) -> float:
    """Four questions a day for ninety days, as the preview of a cadence asks them."""
    above, began = sky(sites, 248.0, -26.0), time.process_time()
    for quarter in range(4 * 90):
        start = begin + quarter * 6 * HOUR
        above.first(start, start + 6 * HOUR, HOUR)
    return time.process_time() - began


def main() -> None:
    """Print one line for one site, and one for seven."""
    sky(SITES[:1], 0.0, 0.0).first(START, START + HOUR, HOUR)  # astropy is imported
    for number, begin in ((1, START), (7, START + 365 * 24 * HOUR)):  # of another year: nothing is kept from the first
        print(f'{number} site{"s" * (number > 1)}, 90 days: {seconds(SITES[:number], begin):.2f} s')


if __name__ == '__main__':
    main()
