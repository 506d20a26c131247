"""Importers: from a folder in any common form to a manifest."""

from faultline.data.importers import class_folders, coco, masks, pictures
from faultline.data.importers.options import IMPORTERS, ImportOptions
from faultline.data.importers.run import import_dataset

__all__ = [
    "IMPORTERS",
    "ImportOptions",
    "class_folders",
    "coco",
    "import_dataset",
    "masks",
    "pictures",
]
