"""`make screenshots`: the pictures of the pages in docs/, after the demo's ten nights and its day of forced photometry.

Everything in them is real: an observatory, three photometry services and two TOMs (light and dark, one database) as
processes, and Chromium worked by the same hands as in the browser tests. ``ARGS='preview result'`` takes those pictures
only whose names have one of the words.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from screenshot_photometry import PHOTOMETRY
from screenshot_plan import PLAN, USER, Picture, log_in, prepare

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / 'example_tom'
PICTURES = ROOT / 'docs' / 'images' / 'pages'
SEED, COLOURS, TALLEST = 7, 128, 1500
DARK = "CSS_THEME = 'Dark'\n"


@contextmanager
def observatory() -> Iterator[str]:
    """Run the simulated observatory; its URL."""
    command = [sys.executable, str(EXAMPLE / 'simulators'), '--observatory', '0', '--seed', str(SEED), '--attached']
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        assert process.stdin is not None  # noqa: S101
        assert process.stdout is not None  # noqa: S101
        try:
            yield json.loads(process.stdout.readline())['observatory']['url']
        finally:
            process.stdin.close()
            process.wait()


def set_up(folder: Path, url: str, services: dict[str, dict[str, Any]]) -> None:
    """Make this process one of the TOM's: its database, clock and files are in the folder."""
    from custom_code.demo.stage import environment

    wanted = environment(url, services)  # without what names another database or broker
    os.environ.clear()
    os.environ.update(
        {
            **wanted,
            'DJANGO_SETTINGS_MODULE': 'mytom.settings',
            'EXAMPLE_TOM_DATABASE': str(folder / 'db.sqlite3'),
            'EXAMPLE_TOM_MEDIA': str(folder / 'data'),
            'EXAMPLE_TOM_CLOCK': str(folder / 'clock.json'),
            'EXAMPLE_TOM_MORE_FACILITIES': 'custom_code.observatory.PlainObservatoryFacility',
            'EXAMPLE_TOM_LOG_LEVEL': 'CRITICAL',
        }
    )
    import django

    django.setup()


def play(url: str) -> Any:
    """The demo's ten nights; what tells the observatory."""
    from django.contrib.auth.models import User
    from django.core.management import call_command

    from custom_code import clock
    from custom_code.demo.stage import Control
    from custom_code.demo.story import Story

    call_command('migrate', verbosity=0)
    call_command('loaddata', 'targets', verbosity=0)
    astronomer = User.objects.create_user(USER[0], password=USER[1])
    control = Control(url)
    story = Story(control, astronomer, USER[1], SEED)
    for _ in story.rows():
        pass
    photometry(astronomer, story.end)
    control.set_now(clock.now())  # the day of photometry was the next one
    call_command('runcadencestrategies', verbosity=0, stdout=io.StringIO())  # cron has not slept meanwhile
    return control


def photometry(astronomer: Any, noon: datetime) -> None:
    """The demo's day of forced photometry, with its mishaps."""
    from custom_code.demo.photometry import Photometry, controls

    for _ in Photometry(controls(), astronomer, USER[1], noon).play():
        pass


@contextmanager
def served(folder: Path, theme: str) -> Iterator[str]:
    """Run the TOM in a theme; its URL."""
    import socket

    from custom_code.demo.stage import port_answers

    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    settings = folder / theme
    settings.mkdir()
    (settings / 'local_settings.py').write_text(DARK if theme == 'dark' else '')
    environment = os.environ | {'PYTHONPATH': str(settings)}
    command = [sys.executable, str(EXAMPLE / 'manage.py'), 'runserver', '--noreload', '--skip-checks', f'127.0.0.1:{port}']
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603
    try:
        while not port_answers(port):
            if process.poll() is not None:
                raise RuntimeError('The example TOM does not start.')
            time.sleep(0.1)
        yield f'http://127.0.0.1:{port}'
    finally:
        process.terminate()
        process.wait()


def main() -> None:
    """Take the pictures that are asked for, or all."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix='screenshots-')))
        sys.path[:0] = [str(EXAMPLE), str(ROOT)]
        url = stack.enter_context(observatory())
        from custom_code.demo import stage

        stage.FOLDER = folder  # not where a demo may be running
        set_up(folder, url, stack.enter_context(stage.photometry(SEED)))
        from tests.browser.chromium import launch
        from tests.browser.surfing import Browser

        driver = launch()
        if driver is None:
            sys.exit('Chromium and its driver (chromedriver) are needed for this.')
        stack.callback(driver.quit)
        control = play(url)
        addresses = {theme: stack.enter_context(served(folder, theme)) for theme in ('light', 'dark')}
        driver.get(addresses['light'])
        prepare(Browser(driver, addresses['light']), control)
        date_templates()
        PICTURES.mkdir(parents=True, exist_ok=True)
        for picture in (*PLAN, *PHOTOMETRY):
            if len(sys.argv) < 2 or any(word in picture.name for word in sys.argv[1:]):
                take(Browser(driver, addresses[picture.theme]), picture)


def date_templates() -> None:
    """The toolkit writes the real time into templates: give them that of the story."""
    from tom_observations.models import ObservationTemplate

    from custom_code.clock import now

    ObservationTemplate.objects.update(created=now(), modified=now())


def take(browser: Any, picture: Picture) -> None:
    """Go there, do what is to be done, and keep what is seen, from the top of the part that is meant."""
    log_in(browser)
    browser.resize(picture.width, 900)
    browser.open(picture.address if isinstance(picture.address, str) else picture.address())
    picture.first(browser)
    seen = browser.driver.execute_script('return document.documentElement.scrollHeight')
    browser.resize(picture.width, seen)
    browser.wait('the page to rest', lambda: not browser.driver.execute_script("return !!document.querySelector('.collapsing')"))
    top = 0
    if picture.top:
        place = 'return document.querySelector(arguments[0]).getBoundingClientRect().top + scrollY'
        top = max(0, int(browser.driver.execute_script(place, picture.top)) - 24)
    keep(browser.driver.get_screenshot_as_png(), PICTURES / f'{picture.name}.png', top)


def keep(png: bytes, path: Path, top: int) -> None:
    """Write it with few colours, so that it is small."""
    from PIL import Image

    image = Image.open(io.BytesIO(png)).convert('RGB')
    image = image.crop((0, top, image.width, min(image.height, top + TALLEST)))
    # not the median cut: it paints the few dots of a rare colour grey
    image.quantize(COLOURS, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(path, optimize=True)
    sys.stdout.write(f'{path.relative_to(ROOT)}: {image.width} x {image.height}, {path.stat().st_size // 1024} KB\n')


if __name__ == '__main__':
    main()
