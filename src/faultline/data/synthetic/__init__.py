"""Synthetic crack pictures: seeded, with exact masks, and written as COCO."""

from faultline.data.synthetic.coco_writer import write_crack_dataset
from faultline.data.synthetic.generate import SURFACES, generate_crack_image

__all__ = ["SURFACES", "generate_crack_image", "write_crack_dataset"]
