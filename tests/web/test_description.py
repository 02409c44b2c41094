"""The OpenAPI description is true: schemathesis sends what it allows and what it does not, and reads every answer."""

import io

import numpy as np
import pytest
import schemathesis
from deephash.webui.app import build_app
from deephash.webui.guard import Guard
from deephash.webui.workspace import Workspace
from hypothesis import strategies as st
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import Status, events, from_schema
from starlette.testclient import TestClient

from deephash.codes import BinaryCodes
from deephash.collection import Collection
from tests.coloured_squares import coloured
from tests.web.collections import colours_collection

pytestmark = pytest.mark.filterwarnings("ignore:Generating overly large repr")

HOST = "testserver"  # what schemathesis calls an app in its own process
# A description cannot say what a picture is, which collections there are, or which items: such answers are expected.
EXPECTED = {"positive_data_acceptance": {"expected-statuses": ["2xx", "400", "404", "415"]}}
# What schemathesis takes away that is still there: one of several fields, beside a file, which it cannot judge; and the
# password, which it sends with every request that is not about the password.
STILL_THERE = ("violates `required` at /anyOf", "violates `required` (was Authorization)")


def png() -> bytes:
    buffer = io.BytesIO()
    coloured("red", 5).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """A collection with pictures and words, and one whose pictures are gone."""
    base = tmp_path_factory.mktemp("described")
    colours_collection(base / "colours.dh", base / "colours", count=12)
    codes = BinaryCodes.from_bits(np.eye(5, 8, dtype=int))
    gone = Collection.create(base / "gone.dh", num_bits=8, root=base)
    gone.append(uris=[f"{row}.jpg" for row in range(5)], codes=codes)
    return [base / "colours.dh", base / "gone.dh"]


@pytest.fixture(scope="module", autouse=True)
def _pictures():
    """Some of the files are pictures."""
    schemathesis.openapi.format("binary", st.binary(max_size=80) | st.just(png()))


def faults(app: Guard, **settings) -> tuple[list[str], dict[str, set[int]]]:
    """Run every phase and every check; return what is wrong, and the statuses of each route."""
    config = {"seed": 1, "continue-on-failure": True, "cache": {"enabled": False}, "checks": EXPECTED, **settings}
    config["generation"] = {"max-examples": 40}
    config = SchemathesisConfig.from_dict(config)
    auth = settings.get("auth", {}).get("basic")
    login = {"auth": (auth["username"], auth["password"])} if auth else {}
    schema = schemathesis.openapi.from_asgi("/api/openapi.json", app, config=config, **login)
    wrong, statuses = [], {}
    for event in from_schema(schema).execute():
        if isinstance(event, (events.NonFatalError, events.FatalError)):
            wrong.append(str(event))
        if not isinstance(event, events.ScenarioFinished):
            continue
        for case, checks in event.recorder.checks.items():
            answer = event.recorder.interactions[case].response
            said = f"{answer.status_code} {answer.content[:200]!r}"
            statuses.setdefault(event.label, set()).add(answer.status_code)
            wrong += [
                f"{check.name} {event.label} {said}: {check.failure_info.failure}"
                for check in checks
                if check.status is Status.FAILURE
                and not any(one in str(check.failure_info.failure) for one in STILL_THERE)
            ]
    return wrong, statuses


def test_every_answer_is_as_described(paths):
    wrong, statuses = faults(build_app(Workspace(paths), names=[HOST]))
    assert wrong == []
    assert len(statuses) == 8
    assert all(200 in statuses[route] for route in statuses if route != "POST /api/encode")  # pictures come by chance
    assert all({400, 405} <= found for route, found in statuses.items() if route != "GET /api/stats")


def test_a_lost_picture_is_answered_as_described(paths):
    """With a grey picture, and 404: the description says so, of both."""
    with TestClient(build_app(Workspace(paths), names=[HOST]), base_url=f"http://{HOST}") as client:
        answer = client.get("/api/items/1/thumbnail", params={"collection": "gone"})
        assert (answer.status_code, answer.headers["content-type"]) == (404, "image/png")
        described = client.get("/api/openapi.json").json()["paths"]["/api/items/{item}/thumbnail"]["get"]["responses"]
        assert described["404"]["content"].keys() == {"image/png", "application/json"}
        assert described["200"]["content"].keys() == {"image/jpeg", "image/png"}
        bounds = client.get("/api/openapi.json").text
        assert '"exclusiveMaximum":9223372036854775808' in bounds


def test_with_a_password_the_description_asks_for_it(paths):
    app = build_app(Workspace(paths, read_only=True), names=[HOST], user="me", password="secret")
    wrong, statuses = faults(app, auth={"basic": {"username": "me", "password": "secret"}})
    assert wrong == []
    assert all(401 in found for found in statuses.values())
