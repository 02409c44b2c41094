"""The body of every event of the page, read before Gradio reads it: its shape, its numbers, the files it names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .refusals import Refused
from .uploads import TooDeep, Uploads

MAX_BYTES = 8 << 20  # a drawing has at most 3 MiB
MOST_VALUES = 200
Index = Annotated[int, Field(ge=0, le=2**31 - 1)]


class Prediction(BaseModel):
    """What the page sends with an event; fields that it never sends are left out, not passed on."""

    model_config = ConfigDict(extra="ignore", strict=True)

    data: Annotated[list[Any], Field(max_length=MOST_VALUES)]
    fn_index: Index
    session_hash: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,100}$")]
    trigger_id: Index | None = None
    event_data: Any = None


def checked(body: bytes, events: Mapping[int, int], uploads: Uploads) -> bytes:
    """Return the body of an event, written anew, so that Gradio reads what was checked and nothing else.

    Args:
        body: as it came.
        events: the page's events by their numbers, with the count of values that each takes.
        uploads: the only files that an event may name.

    Raises:
        Refused: it is no event of this page, or it names another file.
    """
    try:
        event = Prediction.model_validate(json.loads(body, parse_constant=_no_number))
        stranger = uploads.stranger([event.data, event.event_data])
        written = json.dumps(event.model_dump(), ensure_ascii=False, allow_nan=False).encode()
    except ValidationError as error:
        wrong = ", ".join(sorted({".".join(map(str, one["loc"])) or "body" for one in error.errors()}))
        raise Refused(422, f"This is no event of the page; wrong or missing: {wrong}.") from None
    except TooDeep:
        raise Refused(422, "This is no event of the page; it is nested too deep.") from None
    except (ValueError, RecursionError):  # no JSON, NaN, text that is no Unicode
        raise Refused(400, "The body of an event is JSON.") from None
    if stranger is not None:
        raise Refused(403, "Only what was uploaded here within the last hour is taken; give the file again.")
    if event.fn_index not in events:
        raise Refused(404, f"The page has no event {event.fn_index}.")
    if len(event.data) != events[event.fn_index]:
        raise Refused(422, f"Event {event.fn_index} takes {events[event.fn_index]} values, not {len(event.data)}.")
    return written


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number")
