"""Cuts and nightly means of the file that a query brought, as docs/photometry.md shows it."""

from tom_forced_phot import registry
from tom_forced_phot.cleaning import CUTS, plain


def nightly(query):
    with query.data_product.data.open('rb') as file:
        measured = registry.service(query.service).read(file.read())
    good = measured.only(CUTS['atlas'](measured).keep)
    return plain(good, days=1)
