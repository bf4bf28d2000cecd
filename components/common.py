"""What all components share: the image, and no package installed when a step starts."""

import functools
import os

from kfp import dsl

import modelyard

IMAGE = os.environ.get("MODELYARD_IMAGE", f"modelyard:{modelyard.__version__}")

component = functools.partial(dsl.component, base_image=IMAGE, install_kfp_package=False)
