"""Browsing without a query in a real headless Chromium: shelves, pages, clusters and the map of codes."""

import pytest
from deephash.webui.browseview import PICTURES

from tests.web.test_browser import choose

pytestmark = pytest.mark.browser


def browse(visit, way=None, collection=None):
    visit.open()
    if collection:
        choose(visit, "#dh-name", collection)
        visit.page.wait_for_selector("#dh-results h2:has-text('600 pictures')")
    visit.tab("Browse")
    visit.page.wait_for_selector("#dh-browse .dh-shelf")
    if way:
        visit.page.click(f"#dh-way label:has-text('{way}')")


def test_shelves_by_folder_class_and_date(visit):
    browse(visit)
    shelves = visit.page.locator("#dh-browse .dh-shelf")
    assert shelves.count() == 8
    assert shelves.first.get_attribute("aria-label") == "accordion, 12 pictures"
    visit.page.click("#dh-way label:has-text('Dates')")
    visit.page.wait_for_selector("#dh-browse .dh-shelf:has-text('January 2021')")
    assert "By when they were taken" in visit.page.inner_text("#dh-browse")
    assert shelves.last.inner_text().startswith("January 2021")  # the newest first
    visit.page.click("#dh-way label:has-text('Classes')")
    visit.page.wait_for_selector("#dh-browse .dh-shelf:has-text('sunflower')")
    visit.page.click("#dh-browse .dh-shelf:has-text('sunflower')")
    visit.page.wait_for_selector("#dh-browse h3:has-text('sunflower')")
    pictures = visit.page.locator("#dh-browse a.dh-hit")
    assert pictures.count() == 12
    assert all("sunflower/" in path for path in visit.page.locator("#dh-browse .dh-path").all_inner_texts())
    visit.page.click("#dh-browse .dh-up")
    visit.page.wait_for_selector("#dh-browse .dh-shelf")


def test_a_picture_is_a_door_to_a_search(visit):
    browse(visit)
    visit.page.locator("#dh-browse .dh-shelf").nth(2).click()
    link = visit.page.locator("#dh-browse a.dh-hit").nth(3)
    link.wait_for()
    item = link.get_attribute("data-id")
    assert link.get_attribute("href") == f"?collection=photos&id={item}"
    link.focus()
    visit.page.keyboard.press("Enter")
    visit.page.wait_for_selector("#dh-large dialog[open]")
    visit.page.keyboard.press("Enter")  # "Search with this" has the focus
    visit.wait_status("24 of 96 pictures")
    assert visit.shown()[0] == int(item)


def test_a_long_shelf_has_pages(visit):
    browse(visit, collection="digits")
    visit.page.click("#dh-way label:has-text('Clusters')")
    visit.page.wait_for_selector("#dh-browse .dh-shelf:has-text('Cluster 1')")
    sizes = [int(text) for text in visit.page.locator("#dh-browse .dh-shelf small").all_inner_texts()]
    assert sum(sizes) == 600
    assert sizes == sorted(sizes, reverse=True)
    assert visit.page.locator("#dh-browse .dh-shelf:has-text('mostly')").count() >= 8  # its model learned the classes
    assert sizes[0] > PICTURES
    visit.page.locator("#dh-browse .dh-shelf").first.click()
    visit.page.wait_for_selector("#dh-browse a.dh-hit")
    first = visit.page.locator("#dh-browse a.dh-hit").first.get_attribute("data-id")
    assert visit.page.locator("#dh-browse a.dh-hit").count() == PICTURES
    visit.page.locator("#dh-browse .dh-to-page:has-text('Next')").first.click()
    visit.page.wait_for_selector(f"#dh-browse .dh-status:has-text('Pictures {PICTURES + 1} to')")
    assert visit.page.locator("#dh-browse a.dh-hit").first.get_attribute("data-id") != first
    assert visit.page.locator("#dh-browse .dh-to-page:has-text('Previous')").first.is_enabled()


def test_the_map_is_walked_by_mouse_and_by_keyboard(visit):
    browse(visit, way="Map")
    visit.page.wait_for_selector("#dh-browse canvas")
    painted = """canvas => {
      const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
      return data.filter((value, place) => place % 4 === 3 && value > 0).length; }"""
    visit.page.wait_for_function(
        "() => document.querySelector('#dh-browse canvas').width > 400"  # drawn at the size it is shown
    )
    assert visit.page.locator("#dh-browse canvas").evaluate(painted) > 96
    regions = visit.page.locator("#dh-browse section:has-text('One of each region') a.dh-hit")
    assert regions.count() >= 4  # the map as a list
    visit.page.focus("#dh-browse canvas")
    visit.page.keyboard.press("ArrowRight")
    visit.page.wait_for_selector("#dh-browse .dh-peek img")
    seen = visit.page.get_attribute("#dh-browse .dh-peek img", "src")
    visit.page.keyboard.press("ArrowDown")
    assert visit.page.get_attribute("#dh-browse .dh-peek img", "src") != seen
    visit.page.keyboard.press("Enter")
    around = visit.page.locator("#dh-browse .dh-around a.dh-hit")
    assert around.count() == 24
    item = around.first.get_attribute("data-id")
    assert around.first.evaluate("link => link === document.activeElement")
    assert around.first.get_attribute("href") == f"?collection=photos&id={item}"
    visit.page.click("#dh-browse [aria-label='Zoom in']")
    box = visit.page.locator("#dh-browse canvas").bounding_box()
    for across in range(10, 90, 2):  # somewhere on this line is a picture
        visit.page.mouse.move(box["x"] + box["width"] * across / 100, box["y"] + box["height"] / 2)
        if visit.page.is_visible("#dh-browse .dh-peek"):
            break
    else:
        raise AssertionError("no picture was shown")
    around.first.click()
    visit.page.click("#dh-large [data-act=requery]")
    visit.wait_status("24 of 96 pictures")
    assert visit.shown()[0] == int(item)


def test_another_collection_shows_its_own_shelves(visit):
    browse(visit)
    visit.page.locator("#dh-browse .dh-shelf").first.click()
    visit.page.wait_for_selector("#dh-browse a.dh-hit")
    choose(visit, "#dh-name", "colours")
    visit.page.wait_for_selector("#dh-browse .dh-shelf:has-text('top folder'), #dh-browse h3:has-text('top folder')")
    assert "Classes" not in visit.page.inner_text("#dh-way")  # it has none
