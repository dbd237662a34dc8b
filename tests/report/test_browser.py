"""The page in a real browser: no error or request, and what its script does. Screenshots are kept for looking at."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from made_page import made

from likeness.report import page

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.browser
SCREENSHOTS = Path(__file__).parents[2] / ".pytest_cache" / "report"
PROBE = """
<script>(async () => {
  const said = {}, $ = (what) => document.querySelector(what), all = (what) => [...document.querySelectorAll(what)];
  const soon = () => new Promise((go) => setTimeout(go, 25));
  const until = async (what) => { for (let n = 0; n < 400 && !what(); n++) await soon(); };
  const set = (what, value, kind = "change") => { $(what).value = value; $(what).dispatchEvent(new Event(kind)); };
  const context = () => $("#left").getContext("2d");
  const pixels = () => context().getImageData(0, 0, $("#left").width, $("#left").height);
  const sum = () => pixels().data.reduce((a, b, n) => a + b * (n % 251), 0);
  try {
    await until(() => document.body.dataset.board === "ready");
    SCRIPT
  } catch (error) { said.error = String(error.stack); }
  const loaded = performance.getEntriesByType("resource").map((one) => one.name);
  said.requests = loaded.filter((name) => !/^(data|blob):/.test(name));
  const textContent = JSON.stringify(said);
  document.body.append(Object.assign(document.createElement("pre"), { id: "probe", textContent }));
})();</script></body>"""


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    (folder / "report.html").write_text(page.render(made(folder)), encoding="utf-8")
    return folder


def browse(folder, *options, url):
    profile = f"--user-data-dir={folder / 'profile'}"
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", profile]
    return subprocess.run([CHROMIUM, *flags, *options, url], capture_output=True, text=True, timeout=300, check=True)


def probed(folder, script, address=""):
    """Run a script in the page and return what it said, after no error reached the console."""
    text = (folder / "report.html").read_text(encoding="utf-8")
    (folder / "probe.html").write_text(text.replace("</body>", PROBE.replace("SCRIPT", script)), encoding="utf-8")
    url = f"{(folder / 'probe.html').as_uri()}{address}"
    run = browse(folder, "--virtual-time-budget=20000", "--dump-dom", "--window-size=1280,900", url=url)
    said = json.loads(html.unescape(re.search(r'<pre id="probe">(.*?)</pre>', run.stdout, re.DOTALL)[1]))
    shown = [line for line in run.stderr.splitlines() if re.search(r"(ERROR|WARNING):CONSOLE", line)]
    errors = [line for line in run.stderr.splitlines() if "CONSOLE" in line and re.search("Error|Refused|Failed", line)]
    assert not shown + errors
    assert "error" not in said, said["error"]
    assert said["requests"] == []
    return said


def test_ranks_follow_the_choice_and_the_address_keeps_it(written):
    ids = 'all("#ranks tbody tr").map((row) => row.dataset.id)'
    numbers = 'all("#ranks tbody tr").map((row) => row.textContent)'
    script = f"""
      said.before = {numbers};
      $('#choice input[value="cells"]').click();
      said.after = {numbers}; said.ids = {ids}; said.hash = location.hash;"""
    said = probed(written, script)
    assert len(said["ids"]) == 3
    assert said["before"] != said["after"]
    assert "dataset=mni-brain" in said["hash"]
    again = probed(written, f"said.after = {numbers}; said.hash = location.hash;", said["hash"])
    assert again["after"] == said["after"]


def test_groups_leave_out_losses(written):
    said = probed(
        written,
        """$('#choice input[name=group][value=none]').click();
      said.rows = all("#ranks tbody tr").length; said.note = $("#ranknote").textContent;""",
    )
    assert said["rows"] == 0
    assert "Nothing to rank" in said["note"]


def test_viewer_warps_by_the_chosen_loss_and_lambda(written):
    script = """
      $("#viewer").scrollIntoView();
      await until(() => document.body.dataset.viewer === "ready");
      said.modes = {};
      for (const { value } of $("#mode").options) { set("#mode", value); said.modes[value] = sum(); }
      set("#mode", "moved");
      said.lams = [0, 1, 2].map((at) => { set("#lam", at, "input"); return sum(); });
      said.caption = $("#leftsaid").textContent;
      $("#left").dispatchEvent(new KeyboardEvent("keydown", { key: "c" }));
      said.key = $("#mode").value;
      set("#first", "voxelmorph:ncc");
      said.ncc = $("#leftsaid").textContent;"""
    said = probed(written, script)
    assert len(set(said["lams"])) == 3
    assert len({said["modes"][mode] for mode in ("moved", "fixed", "difference", "jacobian", "grid")}) == 5
    assert "λ 1" in said["caption"]
    assert said["key"] == "checkerboard"
    assert said["ncc"].startswith("voxelmorph:ncc")


@pytest.mark.parametrize("width", [500, 900, 1400])
@pytest.mark.parametrize("dark", [False, True])
def test_screenshots_are_taken_at_every_width(written, width, dark):
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    picture = SCREENSHOTS / f"{width}{'-dark' if dark else ''}.png"
    picture.unlink(missing_ok=True)
    scheme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
    options = [f"--screenshot={picture}", f"--window-size={width},2400", scheme]
    browse(written, *options, url=(written / "report.html").as_uri())
    assert picture.stat().st_size > 20_000
