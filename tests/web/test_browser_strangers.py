"""A real browser on another web site: what it can make the visitor's browser send, and what it gets to see."""

import base64
import http.server
import threading

import pytest

from deephash.collection import Collection
from tests.coloured_squares import coloured
from tests.web import probes
from tests.web.conftest import visiting

pytestmark = pytest.mark.browser

ATTACK = """<!doctype html><title>another site</title><body><script>
const page = '%(page)s', seen = {};
const picture = new Blob([Uint8Array.from(atob('%(picture)s'), c => c.charCodeAt(0))]);
const load = (tag, address) => new Promise(done => {
  const node = document.createElement(tag);
  node.onload = () => done('loaded'); node.onerror = () => done('refused');
  node[tag === 'link' ? 'href' : 'src'] = address; if (tag === 'link') node.rel = 'stylesheet';
  document.body.append(node); setTimeout(() => done('silent'), 5000);
});
const ask = (path, options) => fetch(page + path, options).then(a => a.text())
  .then(text => 'read ' + text.length, () => 'refused');
const form = new FormData(); form.append('pictures', picture, 'a.png');
(async () => {
  seen.picture = await load('img', page + 'api/items/1/thumbnail');
  seen.script = await load('script', page + 'api/stats');
  seen.style = await load('link', page + 'theme.css');
  seen.read = await ask('api/stats');
  seen.blind = await ask('api/add', {method: 'POST', mode: 'no-cors', body: form});
  seen.add = await ask('api/add', {method: 'POST', body: form});
  seen.upload = await ask('gradio_api/upload', {method: 'POST', mode: 'no-cors', body: form});
  seen.join = await ask('gradio_api/queue/join', {method: 'POST', mode: 'no-cors',
    headers: {'content-type': 'text/plain'}, body: '{"data": [], "fn_index": 0, "session_hash": "x"}'});
  const sent = document.createElement('form'); sent.method = 'post'; sent.target = 'frame';
  sent.enctype = 'multipart/form-data'; sent.action = page + 'api/add';
  const frame = document.createElement('iframe'); frame.name = 'frame';
  document.body.append(frame, sent);
  const file = document.createElement('input'); file.type = 'file'; file.name = 'pictures';
  const held = new DataTransfer(); held.items.add(new File([picture], 'b.png')); file.files = held.files;
  sent.append(file); sent.submit();
  seen.frame = await load('iframe', page);
  await new Promise(done => setTimeout(done, 500));
  window.seen = seen;
})();
</script>"""


@pytest.fixture
def elsewhere(server):
    """Another web site; it keeps to itself what it was asked for."""
    content = ATTACK % {"page": server.address, "picture": base64.b64encode(probes.load()._png(b"")).decode()}

    class Site(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(content.encode())

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site) as site:
        threading.Thread(target=site.serve_forever, daemon=True).start()
        yield f"http://localhost:{site.server_port}/"
        site.shutdown()


def test_another_site_adds_nothing_and_sees_nothing(chromium, server, elsewhere):
    before = [(Collection.open(path).version, len(Collection.open(path))) for path in server.paths]
    files = set(server.guard.uploads.folder.rglob("*"))
    context = chromium.new_context()
    page = context.new_page()
    answers = []
    page.on("response", lambda answer: answers.append((answer.request.method, answer.url, answer.status)))
    page.goto(elsewhere)
    page.wait_for_function("window.seen", timeout=60_000)
    seen = page.evaluate("window.seen")
    context.close()
    assert {seen[name] for name in ("picture", "script", "style", "read", "blind", "add", "upload", "join")} == {
        "refused"
    }
    assert [(method, url, status) for method, url, status in answers if url.startswith(server.address)] != []
    assert {status for _, url, status in answers if url.startswith(server.address)} == {403}
    assert [(Collection.open(path).version, len(Collection.open(path))) for path in server.paths] == before
    assert set(server.guard.uploads.folder.rglob("*")) == files


def test_the_page_itself_is_refused_nothing(chromium, server, tmp_path):
    """Everything that the page's own scripts ask for is on the list; a link on another site opens it."""
    answers = []
    for visit in visiting(chromium, server):
        visit.page.on("response", lambda answer: answers.append((answer.status, answer.request.method, answer.url)))
        visit.open()
        visit.click_result(0)
        for name in ("Compare", "Collection", "Evaluation", "Search"):
            visit.tab(name)
        visit.page.reload()
        visit.page.wait_for_selector("#dh-results .dh-hit")
    assert len(answers) > 100
    assert [answer for answer in answers if answer[0] >= 400] == []


def test_an_upload_that_is_gone_gets_a_sentence(chromium, server, tmp_path):
    """Uploads go after an hour; a page that still shows one says so, and takes it anew."""
    picture = tmp_path / "red.png"
    coloured("red", 7).save(picture)
    for visit in visiting(chromium, server):
        visit.open("?collection=colours")
        visit.page.set_input_files("#dh-picture input[type=file]", picture)
        visit.page.wait_for_selector("#dh-trail [aria-current]:has-text('red.png')")
        for path in server.guard.uploads.folder.rglob("red.png"):
            path.unlink()
        visit.page.fill("#dh-words :is(input, textarea)", "something blue")
        visit.page.click("#dh-go")
        visit.page.wait_for_selector("text=give the file again")
        assert visit.shown()  # what was there is still there
