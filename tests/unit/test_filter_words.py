"""A filter in words is the same filter again."""

from datetime import datetime

import pytest
from deephash.webui.filterwords import in_words

from deephash.collection.parser import as_filter

KINDS = {"label": "text", "year": "integer", "share": "number", "good": "yes/no", "taken": "time", "uri": "text"}


@pytest.mark.parametrize(
    "where",
    [
        "label = cat",
        'label in ("a \\"b\\"", "c, d") and year >= 2019',
        "(label = cat or label = dog) and not (year < 2000 or share > 0.5)",
        'path ~ "2023/**" or label contains red',
        "label missing and year exists",
        "good = true and taken >= 2021-01-02",
        {"taken": {"gte": datetime(2021, 1, 2, 3, 4, 5), "lt": datetime(2022, 1, 1)}},
        {"or": [{"label": ["cat", "dog"]}, {"not": {"year": {"exists": True}}}]},
    ],
)
def test_words_read_back_give_the_same_rows(where):
    assert as_filter(in_words(where)).to_sql(KINDS) == as_filter(where).to_sql(KINDS)
    words = in_words(as_filter(where))
    assert as_filter(words).to_sql(KINDS) == as_filter(where).to_sql(KINDS)
