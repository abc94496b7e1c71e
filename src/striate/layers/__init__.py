"""Layers for one, two and three spatial dimensions: look-ups to torch's, and what torch lacks.

`LAYERS` lists them by name, `ACTIVATIONS` the activations; `striate.layers.geometry` says what
size they put out, what they cost and what they see.
"""

from striate.layers.activation import *
from striate.layers.contrast import *
from striate.layers.dropout import *
from striate.layers.l2_pool import *
from striate.layers.locally_connected import *
from striate.layers.lookup import *
from striate.layers.matrix import *
from striate.layers.native import *
from striate.layers.norm import *
from striate.layers.recurrent import *
from striate.layers.table import *
