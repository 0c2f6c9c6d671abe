"""The interactive page in a real browser."""

import dataclasses
import json
import re
import shutil

import pytest
import torch

CHROMIUM, DRIVER = (shutil.which(name) for name in ("chromium", "chromedriver"))
NEEDS_BROWSER = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver on the PATH")
ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--window-size=1366,768",
)


def content_of(page):
    return json.loads(re.search(r'<script id="data" type="application/json">(.*?)</script>', page, re.S)[1])


def test_page_holds_the_record_to_four_digits_and_loads_nothing(rec, tmp_path):
    page = rec.to_html(tmp_path / "clip.html", clip=1, title="a <b> & c").read_text()
    content = content_of(page)
    for name, values in {
        "attention": rec.attention[1],
        "messageNorm": rec.message_norm[1],
        "stateNorm": rec.state_norm[1][:, [2, 4]],  # after each space stage
        "scores": rec.scores[1].softmax(dim=-1),
    }.items():
        torch.testing.assert_close(torch.tensor(content[name]), values, rtol=1e-3, atol=1e-6)
    assert content["edges"] == rec.edge_index.t().tolist()
    assert content["classNames"] == ["left", "right", "<none>"]
    assert "<title>a &lt;b&gt; &amp; c</title>" in page
    assert not re.search(r"(src|href)\s*=\s*[\"']?(https?:)?//|@import|url\((?!#)|fetch\(", page)


def test_title_may_be_any_text(rec, tmp_path):
    page = rec.to_html(tmp_path / "clip.html", title="__DATA__").read_text()
    assert "<title>__DATA__</title>" in page
    assert content_of(page) == content_of(rec.to_html(tmp_path / "clip.html").read_text())


def test_record_of_a_model_that_diverged_is_named(rec, tmp_path):
    attention = rec.attention.clone()
    attention[1, 2] = float("nan")
    diverged = dataclasses.replace(rec, attention=attention)
    diverged.to_html(tmp_path / "page.html", clip=0)
    with pytest.raises(ValueError, match=r"to hold finite numbers \(got others in 'attention' of clip 1\)"):
        diverged.to_html(tmp_path / "page.html", clip=1)


def test_record_without_frames_scores_or_messages(rec, tmp_path):
    bare = dataclasses.replace(
        rec, video=None, scores=None, attention=rec.attention[:, :, :0], message_norm=rec.message_norm[:, :, :0]
    )
    content = content_of(bare.to_html(tmp_path / "clip.html").read_text())
    assert (content["frames"], content["scores"], content["attention"]) == ([], None, [[], [], [], []])
    with pytest.raises(ValueError, match="the nodes' regions"):
        dataclasses.replace(rec, box=None).to_html(tmp_path / "none.html")
    with pytest.raises(IndexError, match="Expected 'clip' to be in"):
        rec.to_html(tmp_path / "none.html", clip=2)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in (*ARGUMENTS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def page(browser, rec, tmp_path):
    browser.get(rec.to_html(tmp_path / "clip.html", title="A clip").as_uri())
    return browser


def one(page, selector):
    return page.find_element("css selector", selector)


def neighbours(page):
    items = page.find_elements("css selector", "#neighbours li")
    return {int(item.get_attribute("data-node")): float(item.get_attribute("data-weight")) for item in items}


def expected_neighbours(values, edge_index, node):
    return {j: values[e].item() for e, (j, i) in enumerate(edge_index.t().tolist()) if i == node}


def problems(page):
    return [entry for entry in page.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]


@NEEDS_BROWSER
def test_page_loads_without_error_or_request(page):
    assert problems(page) == []
    assert one(page, "h1").text == "A clip"
    assert page.execute_script("return performance.getEntriesByType('resource').map(e => e.name)") == []
    assert len(page.find_elements("css selector", ".node")) == 5
    assert len(page.find_elements("css selector", ".edge")) == 16
    width = page.execute_script("return document.documentElement.scrollWidth - innerWidth")
    assert width <= 0


@NEEDS_BROWSER
def test_classes_are_labelled_by_their_last_score_and_their_name(page, rec):
    labels = page.execute_script(
        "return [...document.querySelectorAll('#scores title')].map(t => [t.parentNode.firstChild.data, t.textContent])"
    )
    last = rec.scores[0, -1].softmax(dim=-1)
    ranked = [(last[c], rec.class_names[c]) for c in last.argsort(descending=True)]
    assert labels == [[f"{score:.2f}  {name}", name] for score, name in ranked]


@NEEDS_BROWSER
def test_slider_and_keys_move_time_and_iteration(page, rec):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.wait import WebDriverWait

    def shown():
        return one(page, "#time-shown").text, one(page, "#iteration-shown").text

    frames = content_of(page.page_source)["frames"]
    assert shown() == ("0", "1")
    one(page, "#time").send_keys(Keys.ARROW_RIGHT)
    assert shown() == ("1", "1")
    assert one(page, "#frame image").get_attribute("href").endswith(frames[1])
    ActionChains(page).drag_and_drop_by_offset(one(page, "#time"), 90, 0).perform()  # from its middle to its end
    assert shown()[0] == "3"
    assert one(page, "#frame image").get_attribute("href").endswith(frames[3])
    best = rec.scores[0, 3].softmax(dim=-1).max(dim=-1)
    assert one(page, "#verdict").text == (
        f"after frame 3: {rec.class_names[best.indices]}, probability {best.values:.2f}"
    )
    one(page, "body").send_keys(Keys.ARROW_LEFT, Keys.ARROW_DOWN, Keys.ARROW_DOWN)
    assert shown() == ("2", "0")
    one(page, "#play").click()
    WebDriverWait(page, 30).until(lambda _: shown()[0] == "3")
    one(page, "#play").click()
    assert one(page, "#play").text == "Play"
    assert problems(page) == []


@NEEDS_BROWSER
def test_hover_focus_and_click_show_whom_a_node_listens_to(page, rec):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.select import Select

    def listens(node):
        return expected_neighbours(rec.attention[0, 0, 1], rec.edge_index, node)

    def hover(selector):
        ActionChains(page).move_to_element(one(page, selector)).perform()

    assert neighbours(page) == {}
    for node in (4, 1):
        hover(f'.node[data-node="{node}"] .dot')
        assert one(page, "#node-title").text == f"Node {node} listens to"
        assert neighbours(page) == pytest.approx(listens(node), rel=1e-3)
        assert list(neighbours(page).values()) == sorted(neighbours(page).values(), reverse=True)
    loud = [float(e.get_attribute("opacity")) > 0.03 for e in page.find_elements("css selector", ".edge")]
    assert loud == (rec.edge_index[1] == 1).tolist()

    Select(one(page, "#quantity")).select_by_value("messageNorm")
    hover('.node[data-node="1"] .dot')
    assert neighbours(page) == pytest.approx(
        expected_neighbours(rec.message_norm[0, 0, 1], rec.edge_index, 1), rel=1e-3
    )
    Select(one(page, "#quantity")).select_by_value("attention")

    hover("h1")
    assert neighbours(page) == {}
    one(page, '.node[data-node="2"] .dot').click()
    hover("h1")
    assert neighbours(page) == pytest.approx(listens(2), rel=1e-3)  # kept
    one(page, '.node[data-node="2"]').send_keys(Keys.TAB)
    assert neighbours(page) == pytest.approx(listens(3), rel=1e-3)  # the next one, by keyboard
    page.switch_to.active_element.send_keys(Keys.ESCAPE)
    assert neighbours(page) == {}
    assert problems(page) == []


@NEEDS_BROWSER
def test_page_follows_the_scheme_of_the_system(page):
    backgrounds = []
    for scheme in ("light", "dark"):
        feature = {"name": "prefers-color-scheme", "value": scheme}
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        backgrounds.append(one(page, "body").value_of_css_property("background-color"))
    assert backgrounds == ["rgba(246, 247, 249, 1)", "rgba(20, 23, 27, 1)"]
