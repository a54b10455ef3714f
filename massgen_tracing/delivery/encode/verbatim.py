"""Many spans at once, in JSON: they stay as they stand on their lines, once it is known that these are right."""

from __future__ import annotations

import re
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from massgen_tracing.delivery.encode.attributes import Lists
from massgen_tracing.delivery.encode.octets import Mask, mask
from massgen_tracing.delivery.encode.shape import OF_ATTRIBUTE, SINCE, has_twice

_SINCE: Final = re.compile(SINCE.encode())
_ATTRIBUTE: Final = f"^{OF_ATTRIBUTE}$"


def good(since: pa.BinaryArray, attributes: pa.BinaryArray) -> Mask:
    """Which spans are right, of what stands between their ids and times, and in their lists of attributes."""
    found = since.dictionary_encode()
    # Arrow compiles an expression anew each time, which for this one takes longer than Python takes for what is mostly a few names.
    once = [_SINCE.fullmatch(each) is not None and not has_twice(each) for each in found.dictionary.to_pylist()]
    of_since: Mask = np.array(once, np.bool_)[found.indices.to_numpy()]
    lists = Lists.of(attributes)
    return of_since & lists.good(mask(pc.match_substring_regex(lists.once, _ATTRIBUTE)))
