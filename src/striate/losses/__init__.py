"""Losses: arithmetic as functions, one file per family.

`LOSSES` holds them by name. A task takes those whose arguments it has: `(scores, target)` for
classification.
"""

from striate.losses.adversarial import *
from striate.losses.balance import *
from striate.losses.binary import *
from striate.losses.box import *
from striate.losses.chance import *
from striate.losses.cross_entropy import *
from striate.losses.dice import *
from striate.losses.hinge import *
from striate.losses.logistic import *
from striate.losses.reduction import *
from striate.losses.regularisation import *
from striate.losses.restoration import *
from striate.losses.sequence import *
from striate.losses.siamese import *
from striate.losses.table import *
