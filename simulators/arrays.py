"""Pure: the types of the arrays that readings are computed in."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

Bools = npt.NDArray[np.bool_]
