"""Data products: a file of ours made, and a file read back."""

from __future__ import annotations

from typing import Any

from django.core.files.base import ContentFile
from tom_dataproducts.models import DataProduct

from tom_forced_phot.points import Point, reach


def make_product(target: Any, data_product_type: str, content: bytes, file_name: str, product_id: str, text: str) -> DataProduct:
    """A data product with its file, inside the caller's transaction.

    ``file_name`` is made by us and the same at each try: a file that a killed try left is removed before.
    """
    product = DataProduct(target=target, data_product_type=data_product_type, product_id=product_id, extra_data=text)
    remove_leftover(product, file_name)
    product.data.save(file_name, ContentFile(content), save=False)
    reach(Point.FILE_WRITTEN)
    product.save()
    return product


def remove_leftover(product: DataProduct, file_name: str) -> None:
    """Remove the file that ``product`` would get, if it exists and no data product has it."""
    data = DataProduct._meta.get_field('data')
    path = data.generate_filename(product, file_name)
    storage = product.data.storage
    if not DataProduct.objects.filter(data=path).exists() and storage.exists(path):
        storage.delete(path)
