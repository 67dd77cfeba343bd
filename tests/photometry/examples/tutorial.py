"""A service as the toolkit's tutorial writes it: query_service asks, waits, and makes a data product."""

import csv
from datetime import datetime, timedelta, timezone

import requests
from crispy_forms.layout import Layout
from django import forms
from django.core.files.base import ContentFile
from tom_dataproducts.data_processor import DataProcessor
from tom_dataproducts.models import DataProduct
from tom_targets.models import Target

from tom_forced_phot.services import (
    BaseForcedPhotometryQueryForm,
    BaseForcedPhotometryService,
    ForcedPhotometryServiceException,
)


class LanternForm(BaseForcedPhotometryQueryForm):
    min_date_mjd = forms.FloatField(label='From (MJD)')
    max_date_mjd = forms.FloatField(label='Until (MJD)', required=False)

    def layout(self):
        return Layout('min_date_mjd', 'max_date_mjd')

    def clean(self):
        cleaned = super().clean()
        first, last = cleaned.get('min_date_mjd'), cleaned.get('max_date_mjd')
        if first is not None and last is not None and last <= first:
            raise forms.ValidationError('The end must be later than the beginning.')
        return cleaned


class LanternService(BaseForcedPhotometryService):
    name = 'Lantern'
    info_url = 'https://lantern.example.org/help'

    def get_form(self):
        return LanternForm

    def get_data_product_type(self):
        return 'lantern_photometry'

    def query_service(self, query_parameters):
        target = Target.objects.get(pk=query_parameters['target_id'])
        asked = {
            'ra': target.ra,
            'dec': target.dec,
            'from': query_parameters['min_date_mjd'],
            'until': query_parameters['max_date_mjd'],
            'key': self.config['api_key'],
        }
        reply = requests.get(f'{self.url}/lightcurve.csv', params=asked, timeout=60)
        if reply.status_code != 200:
            raise ForcedPhotometryServiceException(f'the server answered {reply.status_code}: {reply.text[:200]}')
        if reply.content.strip():
            product = DataProduct(target=target, data_product_type=self.get_data_product_type())
            product.data.save(f'lantern_{target.pk}.csv', ContentFile(reply.content), save=False)
            product.save()


class LanternProcessor(DataProcessor):
    def data_type_override(self):
        return 'photometry'

    def process_data(self, data_product):
        with data_product.data.open('r') as file:
            return [self.point(row) for row in csv.DictReader(file)]

    def point(self, row):
        when = datetime(1858, 11, 17, tzinfo=timezone.utc) + timedelta(days=float(row['mjd']))
        return when, {'magnitude': float(row['mag']), 'error': float(row['error']), 'filter': row['band']}, 'Lantern'
