"""A new service is one file and three lines of settings: the page that says so is followed to the letter."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tom_dataproducts.models
from django.conf import LazySettings
from django.urls import reverse
from tom_dataproducts.models import PhotometryReducedDatum

import mytom
import tom_forced_phot
from tests.photometry.conftest import Hands
from tests.photometry.examples.lighthouse import TOKEN, Lighthouse
from tests.photometry.examples.tiny import Tiny, serve
from tests.support.asking import until
from tests.support.docs_blocks import block_for
from tom_forced_phot import checks, registry
from tom_forced_phot.models import PhotometryQuery
from tom_forced_phot.services import ForcedPhotometryService

pytestmark = pytest.mark.django_db(transaction=True)
PAGE = Path(__file__).parents[3] / 'docs' / 'add-a-service.md'
CHANGED = ('FORCED_PHOTOMETRY_SERVICES', 'DATA_PRODUCT_TYPES', 'DATA_PROCESSORS')


@pytest.fixture
def followed(settings: LazySettings, clock: Hands, data_folder: Any, tmp_path: Path, monkeypatch: Any) -> Iterator[Tiny]:
    """The files of the page, as it says to write them, and a server; only its address and the token are ours."""
    block = block_for(PAGE, 'mytom/lighthouse.py')
    (tmp_path / 'lighthouse.py').write_text(block.text)
    monkeypatch.setattr(mytom, '__path__', [*mytom.__path__, str(tmp_path)])
    written = {name: dict(getattr(settings, name)) for name in CHANGED}
    exec(block_for(PAGE, 'settings.py').text, written)  # noqa: S102 - what the page says to write
    with serve(Lighthouse()) as server:
        written['FORCED_PHOTOMETRY_SERVICES']['LIGHTHOUSE'] |= {'url': server.url, 'api_key': TOKEN}
        for name in CHANGED:
            setattr(settings, name, written[name])
        types = list(written['DATA_PRODUCT_TYPES'].values())
        monkeypatch.setattr(tom_dataproducts.models, 'DATA_TYPE_CHOICES', types)  # read once by the toolkit
        yield server
    del sys.modules['mytom.lighthouse']


def test_a_service_that_is_written_as_the_page_says_is_offered_asked_and_brings_points(
    followed: Tiny, client: Any, astronomer: Any, make_target: Any, clock: Hands
) -> None:
    assert [each.msg for each in checks.services_check() if 'LIGHTHOUSE' in each.msg] == []
    client.force_login(astronomer)
    target, ask = make_target(permissions='PUBLIC'), reverse('photometry:ask')
    offered = client.get(ask, {'target': target.pk}).content.decode()
    assert re.search(r'name="services"[^>]*value="Lighthouse"', offered)
    wanted = {'targets': [target.pk], 'services': ['Lighthouse'], 'when': 'range', 'first': '61300', 'last': '61340'}
    page = client.post(ask, {**wanted, 'step': 'preview'}).content.decode()
    hidden = {name: re.findall(rf'name="{name}" value="([^"]*)"', page)[0] for name in ('moment', 'seen')}
    client.post(ask, {**wanted, **hidden, 'step': 'ask'})
    until(clock, 'done')
    assert PhotometryQuery.objects.get().service == 'Lighthouse'
    assert [each.path for each in followed.log if each.method == 'POST'] == ['/api/requests']
    assert list(PhotometryReducedDatum.objects.filter(target=target).values_list('source_name', 'bandpass')) == [
        ('Lighthouse', 'r'),
        ('Lighthouse', 'g'),
    ]


#: What people know by these names, and settings hold: the dotted paths of processors, and prefixes of the names of bands.
PUBLIC = {'processors.py', 'lightcurve/bands.py'}
OWN_ROOMS = ('services/', 'readers/', 'cleaning/', 'migrations/')


def test_no_service_is_named_outside_of_its_own_files() -> None:
    """Texts count and names, not comments: a service that is taken out leaves nothing behind that asks for it."""
    root = Path(tom_forced_phot.__file__).parent
    words = '|'.join(sorted({name.lower() for name in registry.shipped()}))
    named = re.compile(rf'\b(?:{words}|ps1|pan-starrs)(?:\b|_)', re.IGNORECASE)
    found = []
    for path in sorted(root.rglob('*.py')):
        where = str(path.relative_to(root))
        if (where.startswith(OWN_ROOMS) and where != 'services/base.py') or where in PUBLIC:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            said = node.value if isinstance(node, ast.Constant) else getattr(node, 'id', None) or getattr(node, 'attr', None)
            if isinstance(said, str) and named.search(said):
                found.append(f'{where}:{node.lineno}: {said[:60]}')  # type: ignore[attr-defined]
    assert found == []


def test_each_service_that_comes_with_the_app_reads_its_own_files_and_draws_its_points() -> None:
    symbols = [each.symbol for each in registry.shipped().values()]
    assert len(symbols) >= 3
    assert len(set(symbols)) == len(symbols)
    assert '' not in symbols
    for each in registry.shipped().values():
        assert each.reader is not None
        assert each.usual_cut in ('', *each.cuts)
        assert not each.reductions or each.reductions[0] == each.reduction
        assert registry.of_type(each({}).get_data_product_type()) == each.name


def test_a_service_without_a_reader_says_so() -> None:
    with pytest.raises(NotImplementedError, match='has no reader'):
        ForcedPhotometryService({}).read(b'')
