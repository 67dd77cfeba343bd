"""What the pages of a light curve fetch: its columns, files, one point with all its fields, and plotly's script."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.cache import get_conditional_response, patch_vary_headers
from django.utils.text import slugify
from django.views.decorators.http import require_GET, require_POST
from tom_dataproducts.models import PhotometryReducedDatum

from tom_followup.refusals import NotYours, refused_in_place
from tom_forced_phot import conf, registry
from tom_forced_phot.ingest.hidden import MOST as MOST_HIDDEN
from tom_forced_phot.ingest.hidden import has_room, hidden_points, hidden_row, hide, show_again
from tom_forced_phot.integrations import cadences
from tom_forced_phot.lightcurve import export, reading
from tom_forced_phot.lightcurve.curve import Curve, evaluate
from tom_forced_phot.lightcurve.options import Options
from tom_forced_phot.lightcurve.payload import counted, payload
from tom_forced_phot.lightcurve.words import comments, fields_of, summary_of
from tom_forced_phot.pages.lightcurve.forms import SwitchForm, span
from tom_forced_phot.permissions import askable_targets, visible_points, visible_products, visible_targets

#: Of columns of whole numbers, more effort saves little and takes twice the time.
EFFORT = 4
UNPROCESSABLE = 422
VERSION = version('tom-followup')
CONVENTIONS = ('AB zero point 23.9 for microjansky: 0 mag is 3630.78 Jy.',)


def target_of(request: HttpRequest, pk: int) -> Any:
    """A target that this user may see; any other does not exist."""
    return get_object_or_404(visible_targets(request.user), pk=pk)


def switches(request: HttpRequest) -> SwitchForm:
    """The switches as the address has them."""
    return SwitchForm(request.GET, services=registry.known(), windows=cadences.installed())


def symbols() -> dict[str, str]:
    """How each service's points are drawn, where it says so itself."""
    return {name: service.symbol for name, service in registry.known().items() if service.symbol}


def options_of(request: HttpRequest, target: Any, form: SwitchForm, hide: Sequence[str], *, shown: bool = False) -> Options:
    """What the switches say, and which points were hidden by hand."""
    return replace(form.options(hide, shown=shown), hidden=hidden_points(visible_points(request.user, target), target))


def curve_of(request: HttpRequest, target: Any, options: Options, stamp: str) -> Curve:
    """The light curve with these switches."""
    return evaluate(reading.columns(request.user, target, options.quality, stamp), options)


@require_GET
def data(request: HttpRequest, pk: int) -> HttpResponse:
    """Everything that is drawn, and a summary in words; nothing at all where the browser has it already."""
    target, form = target_of(request, pk), switches(request)
    if not form.is_valid():
        return _json(request, _packed({'errors': form.errors}), status=UNPROCESSABLE)
    options = options_of(request, target, form, ())
    spans = [asdict(each) for each in cadences.windows(request.user, target)] if form.cleaned_data.get('windows') else []
    stamp = reading.stamp(request.user, target)
    etag = _etag(stamp, reading.scope(request.user), options, spans)
    unchanged = get_conditional_response(request, etag=etag)
    if unchanged is not None:
        return _private(unchanged)
    packed = reading.answer(request.user, target, etag)
    if packed is None:
        curve = curve_of(request, target, options, stamp)
        told = {**summary_of(curve, counted(curve, symbols())), 'target': target, 'hidden': options.hidden}
        summary = render_to_string('tom_forced_phot/partials/lightcurve_summary.html', told)
        packed = _packed({**payload(curve, symbols()), 'windows': spans, 'summary': summary, 'stored': curve.stored})
        reading.keep_answer(request.user, target, etag, packed, curve.stored)
    response = _json(request, packed)
    response['ETag'] = etag
    return response


def _etag(*parts: Any) -> str:
    """The representation, not the compression: that is told apart by Vary."""
    return f'W/"{hashlib.sha256(repr((VERSION, *parts)).encode()).hexdigest()[:32]}"'


def _packed(content: dict[str, Any]) -> bytes:
    return gzip.compress(json.dumps(content, separators=(',', ':'), allow_nan=False).encode(), EFFORT)


def _json(request: HttpRequest, packed: bytes, status: int = 200) -> HttpResponse:
    takes_it = 'gzip' in request.headers.get('Accept-Encoding', '')
    body = packed if takes_it else gzip.decompress(packed)
    response = HttpResponse(body, content_type='application/json', status=status)
    if takes_it:
        response['Content-Encoding'] = 'gzip'
    return _private(response)


def _private(response: HttpResponse) -> HttpResponse:
    """Kept by this browser only, and never shown again without asking whether it still holds and may be seen."""
    response['Cache-Control'] = 'private, no-cache'
    patch_vary_headers(response, ['Accept-Encoding', 'Cookie'])
    return response


@require_GET
def download(request: HttpRequest, pk: int, kind: str) -> HttpResponse:
    """What is shown, as a file."""
    target, form = target_of(request, pk), switches(request)
    if kind not in export.FORMATS or not form.is_valid():
        raise Http404('There is no such format, or no such switch.')
    options = replace(
        form.options(request.GET.getlist('hide'), shown=True), hidden=hidden_points(visible_points(request.user, target), target)
    )
    if request.GET.get('part') == 'zoom':
        first, last = span(request.GET.get('x', ''))
        options = replace(options, first=first, last=last)
    curve = curve_of(request, target, options, reading.stamp(request.user, target))
    meta = {
        'target': target.name,
        'ra_deg': target.ra,
        'dec_deg': target.dec,
        'time_scale': 'UTC',
        'written': conf.utc_now().isoformat(timespec='seconds'),
        'written_by': f'tom-followup {VERSION}',
        'points': len(curve.shown),
        'comments': [
            *CONVENTIONS,
            *([] if options.dust else ['No correction for extinction.']),
            *options.words(),
            *comments(curve),
        ],
    }
    place = None if target.ra is None or target.dec is None else (float(target.ra), float(target.dec))
    response = HttpResponse(export.write(export.table(curve, meta, place), kind), content_type=export.FORMATS[kind])
    name = f'{slugify(target.name) or pk}-light-curve.{export.ENDINGS[kind]}'
    response['Content-Disposition'] = f'attachment; filename="{name}"'
    return _private(response)


@require_GET
def point(request: HttpRequest, pk: int, point: int) -> HttpResponse:
    """One point with everything its source said of it."""
    target = target_of(request, pk)
    found = get_object_or_404(visible_points(request.user, target), pk=point)
    return _card(request, target, found)


@login_required
@require_POST
@refused_in_place
def hide_point(request: HttpRequest, pk: int, point: int) -> HttpResponse:
    """Take a point out of the light curve with a reason, or put it back; by whoever may change the target."""
    target = target_of(request, pk)
    found = get_object_or_404(visible_points(request.user, target), pk=point)
    if not askable_targets(request.user).filter(pk=pk).exists():
        raise NotYours('You may not change this target.', reverse('photometry:light-curve', args=[pk]))
    reason = ' '.join(request.POST.get('reason', '').split())
    complaint = ''
    if 'again' in request.POST:
        show_again(found)
    elif reason and not has_room(found):
        complaint = f'{MOST_HIDDEN} points of this target are hidden already. Show one of them again, or choose a quality cut.'
    elif reason:
        hide(found, request.user, reason, conf.utc_now())
    else:
        complaint = 'Say why it is hidden.'
    response = _card(request, target, found, complaint)
    response['HX-Trigger'] = 'phot-points-changed'
    return response


def _card(request: HttpRequest, target: Any, found: PhotometryReducedDatum, complaint: str = '') -> HttpResponse:
    """The point with all its fields, and whether it is hidden."""
    product = visible_products(request.user).filter(pk=found.data_product_id).first() if found.data_product_id else None
    context = {
        'target': target,
        'point': found,
        'fields': _fields(found),
        'product': product,
        'hidden': hidden_row(found),
        'complaint': complaint,
        'may_hide': askable_targets(request.user).filter(pk=target.pk).exists(),
    }
    return render(request, 'tom_forced_phot/partials/lightcurve_point.html', context)


def _fields(found: PhotometryReducedDatum) -> list[tuple[str, str]]:
    value = found.value if isinstance(found.value, dict) else {}
    own = {name: getattr(found, name) for name in ('timestamp', 'brightness', 'brightness_error', 'limit', 'unit', 'bandpass')}
    more = {name: getattr(found, name) for name in ('exposure_time', 'telescope', 'instrument', 'source_name', 'reduction_version')}
    return fields_of({**own, **more}, value)
