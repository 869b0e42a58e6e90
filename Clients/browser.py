"""The page in Chromium: steers, forks and stops with the keyboard alone: python browser.py ADDRESS CHROMIUM ARTIFACTS [PICTURES]

ARTIFACTS is the folder of the server's artifacts. Pictures are written if there is a folder for them. No request may leave this
machine.
"""

import json
import re
import socket
import sys
from pathlib import Path
from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect, sync_playwright

address, chromium = sys.argv[1].rstrip("/"), sys.argv[2]
artifacts = Path(sys.argv[3])
pictures = Path(sys.argv[4]) if len(sys.argv) > 4 else None
problems: list[str] = []


def is_clean(page: Page, where: str) -> None:
    found = Axe().run(page)
    if found.violations_count:
        problems.append(f"axe, {where}: {found.generate_report()[:3000]}")


def picture(page: Page, name: str) -> None:
    # The documentation shows these.
    if pictures and name in ("serve-page", "serve-forks", "serve-narrow-dark"):
        page.screenshot(path=pictures / f"{name}.png", full_page=True)


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def lane(page: Page, place: int):
    return page.locator(".lane").nth(place)


def is_over(page: Page, place: int) -> None:
    expect(lane(page, place).locator(".head")).to_contain_text(re.compile("length|stop"), timeout=60_000)


def watch(page: Page) -> None:
    """Notes what the console says, and requests to other places."""
    page.on("console", lambda message: problems.append(f"console: {message.text}") if message.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(f"error: {error}"))
    page.on("request", lambda request: None if request.url.startswith((address, "data:", "blob:"))
            else problems.append(f"a request to {request.url}"))


def steer_and_fork(page: Page) -> None:
    """The whole way, without a mouse."""
    page.goto(address)
    expect(page.locator("#run")).to_be_focused()
    expect(page.locator("#status-text")).to_have_text("ready")
    is_clean(page, "empty")
    # Steering on, a little stronger, and run: A is unsteered, B is steered.
    press(page, "s", "+", "Control+Enter")
    is_over(page, 0)
    is_over(page, 1)
    texts = [lane(page, place).locator(".text").inner_text() for place in (0, 1)]
    assert texts[0] != texts[1] and texts[0].startswith("I watched this film last night and"), texts
    expect(lane(page, 1).locator(".head")).to_contain_text(re.compile(r"divergence from A \d+\.\d\d nats a token"))
    expect(page.locator("#token-facts")).to_contain_text("nats from A")
    expect(page.locator("#speed")).to_contain_text(re.compile(r"cache \d"))
    expect(page.locator("#grid td").first).to_be_visible()
    is_clean(page, "after a run")
    picture(page, "serve-page")
    # Back ten tokens, and fork there without steering. Every token settles at a block, at the embedding or nowhere.
    for _ in range(10):
        press(page, "ArrowLeft")
        expect(page.locator("#token-facts")).to_contain_text(re.compile(r"settled(at block \d|at the embedding|in no block)"))
    press(page, "s", "f")
    is_over(page, 2)
    expect(lane(page, 2).locator(".head")).to_contain_text("fork of B")
    expect(lane(page, 2).locator(".differs").first).to_be_visible()
    # The second candidate of a token of A: fork with it.
    press(page, "[", *["["] * 3, *["ArrowLeft"] * 20)
    press(page, "Enter", "Tab", "Enter")
    expect(page.locator(".lane")).to_have_count(4)
    is_over(page, 1)
    is_clean(page, "after forks")
    picture(page, "serve-forks")
    print("steered, forked and forked with another token, with the keyboard alone")


def stop(page: Page) -> None:
    """A long run shows its tokens while they come; it is steered on the way, and stopped."""
    page.goto(address)
    expect(page.locator("#status-text")).to_have_text("ready")
    page.fill("#max-tokens", "4000")
    page.locator("#past-end").check()
    page.locator("#run").focus()
    press(page, "Control+Enter")
    options = page.locator(".lane [role=option]")
    expect(options.nth(20)).to_be_visible(timeout=20_000)
    before = options.count()
    page.wait_for_timeout(200)
    assert options.count() > before, "the text does not grow"
    press(page, "s", "+")
    expect(page.locator(".lane .log").first).to_contain_text("from", timeout=20_000)
    press(page, "Escape")
    expect(page.locator("#status-text")).to_have_text("ready")
    expect(lane(page, 0).locator(".head")).to_contain_text("stopped")
    count = options.count()
    page.wait_for_timeout(300)
    assert options.count() == count, "it goes on"
    metrics = page.request.get(f"{address}/metrics").text()
    assert re.search(r"running\b.* 0(\.0)?$", metrics, re.M), metrics
    print(f"stopped after {count} tokens, steered on the way")


def frames(page: Page) -> None:
    """How long the page takes for a frame while tokens come."""
    page.goto(address)
    expect(page.locator("#status-text")).to_have_text("ready")
    page.fill("#max-tokens", "400")
    page.locator("#past-end").check()
    page.evaluate("""() => { window.frames_ = []; let last = performance.now();
      const note = (now) => { window.frames_.push(now - last); last = now; requestAnimationFrame(note) }; requestAnimationFrame(note) }""")
    page.locator("#run").focus()
    press(page, "Control+Enter")
    is_over(page, 0)
    gaps = sorted(page.evaluate("window.frames_"))
    print(f"frames while 400 tokens came: median {gaps[len(gaps) // 2]:.0f} ms, 95% under {gaps[len(gaps) * 95 // 100]:.0f} ms")


def looks(page: Page, name: str) -> None:
    page.goto(address)
    expect(page.locator("#status-text")).to_have_text("ready")
    page.locator("#chips button").first.click()
    is_over(page, 0)
    is_clean(page, name)
    page.keyboard.press("?")
    expect(page.locator("#help")).to_be_visible()
    is_clean(page, f"{name}, keys")
    page.keyboard.press("Escape")
    page.keyboard.press("Control+k")
    page.keyboard.type("wea")
    expect(page.locator("#palette-list li")).to_have_count(1)
    is_clean(page, f"{name}, commands")
    page.keyboard.press("Escape")
    width = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert width <= 0, f"{name}: the page is {width} pixels too wide"
    picture(page, f"serve-{name}")


def artifact(page: Page, name: str):
    return page.locator("#artifact-list li").filter(has=page.locator("summary", has_text=name))


def inspected(page: Page) -> None:
    """The content of an artifact as tables, and the half-life of a vector of the state."""
    page.goto(address)
    expect(page.locator("#status-text")).to_have_text("ready")
    page.locator("#run").focus()
    press(page, "Control+Enter")
    is_over(page, 0)
    for name, button in (("joy", "content"), ("mood", "half-life")):
        own = artifact(page, name)
        own.locator("summary").focus()
        press(page, "Enter", "Tab", "Tab")
        own.get_by_role("button", name=button).focus()
        press(page, "Enter")
        expect(own.locator("table").first).to_be_visible()
        expect(own.get_by_role("button", name=f"hide {button}")).to_be_focused()
    expect(artifact(page, "joy")).to_contain_text("blocks.3.output")
    # A long content scrolls in its place.
    assert page.locator(".content").bounding_box()["height"] <= 430, page.locator(".content").bounding_box()
    expect(artifact(page, "mood")).to_contain_text("b3.ssm")
    is_clean(page, "artifacts")
    artifact(page, "joy").get_by_role("button", name="hide content").click()
    expect(artifact(page, "joy").locator("table")).to_have_count(0)
    print("inspected an artifact, and measured a half-life")


def states(page: Page) -> None:
    """A state that was saved is one that a prompt can start from."""
    page.goto(address)
    expect(page.locator("#status-text")).to_have_text("ready")
    expect(page.locator("#start")).to_be_hidden()
    page.locator("#run").focus()
    press(page, "Control+Enter")
    is_over(page, 0)
    with page.expect_download() as download:
        page.get_by_text("save state").click()
    kept = artifacts / "kept.state.safetensors"
    kept.write_bytes(Path(download.value.path()).read_bytes())
    try:
        page.locator("#rescan").click()
        artifact(page, "kept").locator("summary").click()
        artifact(page, "kept").get_by_role("button", name="start from it").click()
        expect(page.locator("#start-state")).to_have_value("kept")
        page.fill("#prompt", " The end")
        press(page, "Control+Enter")
        is_over(page, 1)
        assert lane(page, 1).locator(".text").inner_text().startswith(" The end")
        # The keys are commands outside of the prompt.
        lane(page, 1).locator(".text").focus()
        press(page, *["ArrowLeft"] * 20, "f")
        is_over(page, 2)
        expect(lane(page, 2).locator(".head")).to_contain_text("fork of A")
        is_clean(page, "a run from a state")
    finally:
        kept.unlink()
    page.locator("#rescan").click()
    expect(page.locator("#start")).to_be_hidden()
    print("a prompt started from a saved state, and was forked")


def queued(page: Page) -> None:
    """While others take all rows, a run is told its place."""
    body = json.dumps({"prompt": "The", "max_tokens": 100000, "ignore_eos": True}).encode()
    own = urlsplit(address)
    crowd = []
    for _ in range(8):
        crowd.append(socket.create_connection((own.hostname, own.port)))
        crowd[-1].sendall(b"POST /v1/completions HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
                          % (own.netloc.encode(), len(body), body))
    page.goto(address)
    expect(page.locator("#status-text")).to_have_text("ready")
    page.locator("#run").focus()
    press(page, "Control+Enter")
    expect(lane(page, 0).locator(".head")).to_contain_text("queued, place 1", timeout=20_000)
    for each in crowd:
        each.close()
    is_over(page, 0)
    print("a run that waits shows its place")


def exported(page: Page) -> None:
    page.goto(address)
    expect(page.locator("#status-text")).to_have_text("ready")
    page.locator("#chips button").first.click()
    is_over(page, 0)
    link = page.url
    text = lane(page, 0).locator(".text").inner_text()
    with page.expect_download() as download:
        page.locator("#export").click()
    file = download.value.path()
    assert json.loads(Path(file).read_text())["sextant-runs"] == 1
    with page.expect_download() as download:
        page.get_by_text("save state").click()
    assert Path(download.value.path()).stat().st_size > 10_000
    # A link shows the run again; a file shows it without the server's run.
    page.goto("about:blank")
    page.goto(link)
    expect(lane(page, 0).locator(".text")).to_have_text(text, use_inner_text=True)
    page.goto("about:blank")
    page.goto(address)
    page.locator("#import-file").set_input_files(file)
    expect(lane(page, 0).locator(".text")).to_have_text(text, use_inner_text=True)
    expect(lane(page, 0).locator(".head")).to_contain_text("imported")
    print("exported, imported, linked, and a state saved")


with sync_playwright() as playwright:
    browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
    for step in (steer_and_fork, stop, frames, inspected, states, queued, exported):
        context = browser.new_context(viewport={"width": 1300, "height": 900}, accept_downloads=True)
        page = context.new_page()
        watch(page)
        step(page)
        context.close()
    for name, width, scheme in (("dark", 1300, "dark"), ("narrow", 400, "light"), ("narrow-dark", 400, "dark"), ("small", 320, "light")):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce")
        page = context.new_page()
        watch(page)
        looks(page, name)
        context.close()
    browser.close()

if problems:
    print("\n".join(problems))
    sys.exit(1)
print("axe finds nothing, the console is silent, and no request left this machine")
