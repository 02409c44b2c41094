"""The page's thin functions without a browser: sketches, thumbnails, filters, charts, guard, session, reports."""

import base64
import io
import socket

import numpy as np
import pytest
from deephash.webui.actions import picture_query, sentence
from deephash.webui.charts import bars, line_chart, table
from deephash.webui.compare import kendall_tau
from deephash.webui.guard import Guard
from deephash.webui.results import results_csv
from deephash.webui.server import listen
from deephash.webui.session import LONGEST_TRAIL, Session
from deephash.webui.sketch import Paper, fit_to_paper, guess_paper, read_drawing
from deephash.webui.thumbnails import Thumbnails, encode_thumbnail, safe_path
from PIL import Image, ImageDraw
from starlette.datastructures import Headers

from deephash.collection import Item
from deephash.collection.card import CollectionCard
from deephash.errors import UnreadablePicture, UsageError
from deephash.search import Hit, Part, Query


def png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def data_url(picture: Image.Image) -> str:
    return "data:image/png;base64," + base64.b64encode(png(picture)).decode()


def a_stroke() -> Image.Image:
    sheet = Image.new("RGB", (336, 336), "white")
    ImageDraw.Draw(sheet).line((250, 40, 250, 300), fill="black", width=20)
    return sheet


# Sketches ------------------------------------------------------------------------------------------


def test_a_drawing_is_cropped_inverted_centred_and_shrunk():
    fitted = np.asarray(fit_to_paper(a_stroke(), Paper(dark=True, side=8, crop=True)).convert("L"))
    assert fitted.shape == (8, 8)
    assert fitted[:, 3:5].mean() > 100 > 10 > fitted[:, :2].mean()  # light stroke in the middle of a dark ground


def test_a_drawing_for_photographs_stays_as_drawn():
    assert fit_to_paper(a_stroke(), Paper()).tobytes() == a_stroke().tobytes()


def test_thin_strokes_are_widened_towards_the_collections_ink():
    thin, wide = (
        np.asarray(fit_to_paper(a_stroke(), Paper(True, 16, True, ink)).convert("L")).mean() for ink in (0.0, 0.3)
    )
    assert wide > 1.3 * thin


def test_paper_is_judged_by_the_pictures():
    digit = np.zeros((8, 8), np.uint8)
    digit[1:7, 3:5] = 255
    paper = guess_paper([Image.fromarray(digit)] * 3)
    assert (paper.dark, paper.side, paper.crop) == (True, 8, True)
    assert paper.ink == pytest.approx(12 / 64)
    assert not guess_paper([Image.fromarray(255 - digit)]).dark
    assert guess_paper([Image.new("RGB", (200, 100))]) == Paper()
    assert guess_paper([]) == Paper()


@pytest.mark.parametrize(
    "sent",
    [
        "hello",
        "data:image/svg+xml;base64,AAAA",
        "data:image/png;base64,%%%",
        "data:image/png;base64," + "A" * (3 << 20),
        "data:image/png;base64,AAAA",
        data_url(Image.new("RGB", (50, 50), "white")),
    ],
)
def test_a_drawing_that_is_none_is_refused(sent):
    with pytest.raises(UnreadablePicture):
        read_drawing(sent)


# Thumbnails ----------------------------------------------------------------------------------------


def test_a_thumbnail_carries_no_metadata_and_fits():
    picture = Image.new("RGB", (800, 400), "red")
    picture.getexif()[0x010E] = "a secret place"
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", exif=picture.getexif())
    data, media_type = encode_thumbnail(Image.open(buffer).convert("RGB"), 128)
    again = Image.open(io.BytesIO(data))
    assert media_type == "image/jpeg"
    assert again.size == (128, 64)
    assert not dict(again.getexif())
    assert b"secret" not in data


def test_tiny_pictures_are_enlarged_pixel_by_pixel():
    digit = Image.fromarray(np.random.default_rng(0).integers(0, 255, (8, 8), dtype=np.uint8))
    data, media_type = encode_thumbnail(digit)
    large = Image.open(io.BytesIO(data))
    assert media_type == "image/png"
    assert large.size == (160, 160)
    assert np.array_equal(np.asarray(large)[::20, ::20], np.asarray(digit))


class Folder:
    """What thumbnails need of a collection."""

    def __init__(self, path, root):
        self.path, self.root, self.card = path, root, CollectionCard(root=str(root))

    def picture_path(self, item):
        return self.root / item.uri


@pytest.mark.posix
def test_nothing_outside_the_collection_is_opened(tmp_path):
    root, secret = tmp_path / "pictures", tmp_path / "secret.png"
    root.mkdir()
    Image.new("RGB", (9, 9)).save(secret)
    (root / "link.png").symlink_to(secret)
    (root / "linked").symlink_to(tmp_path)
    collection = Folder(tmp_path / "x.dh", root)
    tried = [
        "../secret.png",
        "link.png",
        "linked/secret.png",
        str(secret),
        f"file://{secret}",
        "http://a/b.png",
        "a\0b",
    ]
    for uri in tried:
        with pytest.raises(UnreadablePicture):
            safe_path(collection, Item(1, uri))


def test_the_cache_keeps_its_limit_and_notices_changed_files(tmp_path):
    collection = Folder(tmp_path / "x.dh", tmp_path)
    for number in range(6):
        noise = np.random.default_rng(number).integers(0, 255, (90, 90, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / f"{number}.png")
    thumbnails = Thumbnails(limit=20_000)
    first = [thumbnails.get(collection, Item(number, f"{number}.png", "a"))[0] for number in range(6)]
    assert thumbnails._size <= 20_000
    assert len(set(first)) == 6
    Image.new("RGB", (90, 90)).save(tmp_path / "5.png")
    assert thumbnails.get(collection, Item(5, "5.png", "a"))[0] == first[5]
    assert thumbnails.get(collection, Item(5, "5.png", "b"))[0] != first[5]


# Queries, session, figures -------------------------------------------------------------------------


def test_uploads_that_are_no_pictures_are_explained(tmp_path):
    path = tmp_path / "notes.jpg"
    path.write_text("no picture")
    with pytest.raises(UnreadablePicture, match=r"notes\.jpg: not a picture"):
        picture_query(path)
    with pytest.raises(UnreadablePicture, match="empty"):
        picture_query(b"", "nothing.png")
    with pytest.raises(UnreadablePicture, match="at most 24 MiB"):
        picture_query(b"\0" * (25 << 20))
    bomb = png(Image.new("1", (20_000, 20_000)))
    assert len(bomb) < 100_000
    with pytest.raises(UnreadablePicture, match="limit"):
        picture_query(bomb, "bomb.png")


def test_the_trail_goes_back_and_forgets_what_lay_ahead():
    queries = [Query("words", (Part("text", str(number)),)) for number in range(3)]
    session = Session()
    assert session.current is None
    assert session.goto(5) is session
    for query in queries:
        session = session.ask(query)
    back = session.goto(0)
    assert (back.current, len(back.trail)) == (queries[0], 3)
    assert back.ask(queries[2]).trail == (queries[0], queries[2])
    assert session.goto(99).current == queries[2]
    other = Query("words", ())
    assert session.goto(1).amend(other).trail == (queries[0], other, queries[2])
    assert Session().amend(other).trail == (other,)
    for _ in range(2 * LONGEST_TRAIL):
        session = session.ask(queries[1])
    assert len(session.trail) == LONGEST_TRAIL
    assert session.current is queries[1]


def test_messages_name_no_folder_of_the_server():
    assert sentence(UsageError("cannot open /home/me/pictures/a.jpg now")) == "cannot open a.jpg now"
    assert sentence(UsageError("no '/home/me/x.dh'\n(/srv/b.png)")) == "no 'x.dh' (b.png)"
    assert (
        sentence(UsageError("24/64 bits; see https://a.example/docs/b")) == "24/64 bits; see https://a.example/docs/b"
    )


def test_the_list_cannot_run_formulas_in_a_spreadsheet():
    text = results_csv([Hit(1, 5, "=cmd()", 2, 0.5, 4, 1), Hit(2, 6, 'a,"b".jpg', 2, 0.5, 4, 1)])
    assert "'=cmd()" in text
    assert '"a,""b"".jpg"' in text


@pytest.mark.parametrize(
    ("pairs", "tau"), [([], None), ([(0, 0)], None), ([(0, 3), (1, 5)], 1.0), ([(0, 2), (1, 1), (2, 0)], -1.0)]
)
def test_kendall_tau(pairs, tau):
    assert kendall_tau(pairs) == tau


def test_kendall_tau_agrees_with_scipy():
    from scipy.stats import kendalltau

    ranks = np.random.default_rng(3).permutation(15)
    assert kendall_tau(list(enumerate(ranks.tolist()))) == pytest.approx(kendalltau(range(15), ranks).statistic)


def test_charts_escape_text_and_need_two_points():
    assert "<b>" not in table(["<b>x</b>"], [["<script>"]], numeric=(0,))
    assert line_chart([1], [1], title="t", across="a", up="b") == ""
    drawn = line_chart([1, 10, 100], [0, 0.5, float("nan")], title="t", across="a", up="b", logarithmic=True)
    assert drawn.count("<polyline") == 1
    assert bars([0.5, 1.0], title="t", middle=0.5).count('class="bar"') == 2


# Guard ---------------------------------------------------------------------------------------------


def refused(guard: Guard, method: str = "GET", **headers: str) -> int | None:
    names = {name.replace("_", "-"): value for name, value in ({"host": "127.0.0.1:7860"} | headers).items()}
    answer = guard.refusal(Headers(names), method)
    return None if answer is None else answer.status_code


def test_only_the_own_address_is_answered_on_a_loopback_host():
    guard = Guard(None, host="127.0.0.1", max_bytes=1000)
    assert refused(guard) is None
    assert refused(guard, host="localhost:7860") is None
    assert refused(guard, host="[::1]:7860") is None
    assert refused(guard, host="evil.example:7860") == 421
    assert refused(guard, host="127.0.0.1.evil.example") == 421
    assert refused(guard, host="192.168.1.5:7860") == 421


def test_on_any_other_host_only_addresses_and_known_names_are_answered():
    """A web site can give itself a name that leads here, but not an address."""
    guard = Guard(None, host="0.0.0.0", max_bytes=1000, names=["Pictures.example"])
    for name in ("192.168.1.5:7860", "[fe80::1]:7860", "localhost", "pictures.example:80", "PICTURES.example"):
        assert refused(guard, host=name) is None, name
    assert refused(guard, host=f"{socket.gethostname()}:7860") is None
    for name in ("evil.example:7860", "192.168.1.5.evil.example", "pictures.example.evil.example", "", ":7860"):
        assert refused(guard, host=name) == 421, name


def test_other_sites_cannot_change_anything():
    guard = Guard(None, host="127.0.0.1", max_bytes=1000)
    assert refused(guard, "POST", origin="http://127.0.0.1:7860") is None
    assert refused(guard, "POST") is None
    assert refused(guard, "POST", origin="https://evil.example") == 403
    assert refused(guard, "POST", origin="null") == 403
    assert refused(guard, "POST", sec_fetch_site="cross-site") == 403


def test_large_bodies_are_refused_by_their_length():
    guard = Guard(None, host="127.0.0.1", max_bytes=1000)
    assert refused(guard, "POST", content_length="1000") is None
    assert refused(guard, "POST", content_length="1001") == 413
    assert refused(guard, "POST", content_length="-5") == 413


def test_credentials_are_needed_where_they_are_set():
    guard = Guard(None, host="127.0.0.1", max_bytes=1000, user="me", password="sécret:1")
    good = base64.b64encode("me:sécret:1".encode()).decode()
    assert refused(guard, authorization=f"Basic {good}") is None
    assert refused(guard) == 401
    wrong = ["Basic " + base64.b64encode(b"me:x").decode(), "Bearer " + good, "Basic", "Basic ???", good]
    assert [refused(guard, authorization=value) for value in wrong] == [401] * 5


def test_a_busy_port_is_explained():
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=rf"cannot listen on 127\.0\.0\.1:{port}.*--port 0"):
            listen("127.0.0.1", port)
    with pytest.raises(UsageError):
        listen("127.0.0.1", 99_999)


# Figures of a report ---------------------------------------------------------------------------------


def test_precision_over_recall_is_without_the_precision_0_of_empty_balls():
    from deephash.webui.evaluationview import _precision_over_recall

    by_radius = {"recall_by_radius": [0.01, 0.1, 0.5, 1.0], "precision_by_radius": [0.2, 0.9, 0.7, 0.1]}
    by_rank = {"recall_at_rank": [0.1, 0.6, 1.0], "precision_at_rank": [1.0, 0.8, 0.1]}
    assert _precision_over_recall(by_radius | by_rank) == ([0.1, 0.6, 1.0], [1.0, 0.8, 0.1])
    assert _precision_over_recall(by_radius) == ([0.1, 0.5, 1.0], [0.9, 0.7, 0.1])  # what rises at first is an artefact
    assert _precision_over_recall({}) == ([], [])


@pytest.mark.parametrize(
    "metric", ["mAP@all", "mAP@1000", "mAP@H<=2", "P@100", "P@H<=2", "R@H<=2", "NDCG@10", "kNN@20", "hit@1"]
)
def test_every_figure_has_a_sentence_of_its_own(metric):
    from deephash.webui.figurewords import ELSE, in_a_sentence

    assert in_a_sentence(metric) != ELSE
    assert in_a_sentence("surprise") == ELSE
