"use strict";
// Ranks for a choice of datasets, metrics and groups; a table that sorts and filters; the choice in the address.
(() => {
  const read = (id) => JSON.parse(document.getElementById("data-" + id).textContent);
  const make = (tag, given = {}, ...inside) => {
    const made = Object.assign(document.createElement(tag), given);
    made.append(...inside);
    return made;
  };
  const data = read("ranking");
  const query = new URLSearchParams(location.hash.includes("?") ? location.hash.split("?")[1] : "");
  const kept = {};
  const remember = () => {
    const said = new URLSearchParams();
    for (const [key, value] of Object.entries(kept)) if (value !== null && value !== "") said.set(key, value);
    const text = said.toString();
    history.replaceState(null, "", text ? "#board?" + text : location.hash.split("?")[0] || "#");
  };

  // --- ranks
  const unique = (values) => [...new Set(values)];
  const contests = data.flatMap((set) => set.contests.map((contest) => ({ ...contest, set })));
  const groups = {
    dataset: unique(data.map((set) => set.name)),
    metric: unique(contests.map((one) => one.metric)),
    method: unique(contests.map((one) => one.among)),
    group: unique(contests.flatMap((one) => one.supervision)),
  };
  const primary = unique(data.map((set) => set.primary));
  const standard = { dataset: groups.dataset, metric: primary, method: groups.method.slice(0, 1), group: groups.group };
  const titles = { dataset: "Datasets", metric: "Metrics", method: "Losses of", group: "Supervision" };
  const form = document.getElementById("choice");
  const chosen = {};
  const weights = {};

  const counts = (set) => {
    if (!set.counts) set.counts = set.draws.map((text) => Uint8Array.from(text, (sign) => parseInt(sign, 36)));
    return set.counts;
  };
  // the arithmetic of the tables: equal to nine decimals of the largest mean is equal
  const tied = (means) => {
    const scale = Math.max(...means.filter(Number.isFinite).map(Math.abs), 0) || 1;
    return means.map((mean) => (Number.isFinite(mean) ? Math.round((mean / scale) * 1e9) / 1e9 : mean));
  };
  const ranked = (means) =>
    means.map((mean) => {
      let below = 0, same = 0;
      for (const other of means) { if (other < mean) below++; else if (other === mean) same++; }
      return below + (same + 1) / 2;
    });
  const weighted = (contest, places, weight) => {
    const sums = new Float64Array(places.length), costs = contest.costs;
    let total = 0;
    for (let number = 0; number < costs.length; number++) {
      const own = weight(number);
      if (!own) continue;
      total += own;
      for (let at = 0; at < places.length; at++) { const cost = costs[number][places[at]]; sums[at] += cost === null ? Infinity : own * cost; }
    }
    return total ? tied(Array.from(sums, (sum) => sum / total)) : null;
  };
  const within = (contest) => (draw) => (number) => {
    const one = contest.first[number], other = contest.second[number];
    return one === other ? draw[one] : draw[one] * draw[other];
  };

  function rank() {
    const used = contests.filter((one) => chosen.dataset.has(one.set.name) && chosen.metric.has(one.metric) && chosen.method.has(one.among));
    const number = Math.max(0, ...used.map((one) => one.set.draws.length));
    const rows = new Map();
    const row = (id, contest, place) => {
      if (!rows.has(id)) rows.set(id, { id, supervision: contest.supervision[place], sum: 0, weight: 0, drawn: new Float64Array(number), drawnWeight: new Float64Array(number), contests: 0 });
      return rows.get(id);
    };
    let few = false;
    for (const contest of used) {
      const places = contest.ids.map((_, place) => place).filter((place) => chosen.group.has(contest.supervision[place]));
      const weight = weights[contest.set.name] * 1;
      if (!places.length || !(weight > 0) || !contest.costs.length) continue;
      const here = ranked(weighted(contest, places, () => 1));
      places.forEach((place, at) => { const one = row(contest.ids[place], contest, place); one.sum += weight * here[at]; one.weight += weight; one.contests++; });
      if (!contest.resampled) { few = true; continue; }
      counts(contest.set).forEach((draw, at) => {
        const means = weighted(contest, places, within(contest)(draw));
        if (!means) return;
        ranked(means).forEach((value, order) => { const one = rows.get(contest.ids[places[order]]); one.drawn[at] += weight * value; one.drawnWeight[at] += weight; });
      });
    }
    const most = Math.max(0, ...[...rows.values()].map((one) => one.contests));
    const found = [...rows.values()].map((one) => {
      const drawn = [...one.drawn].map((sum, at) => (one.drawnWeight[at] === one.weight ? sum / one.weight : NaN)).filter((value) => !Number.isNaN(value)).sort((a, b) => a - b);
      const at = (share) => (drawn.length ? drawn[Math.max(0, Math.ceil(share * drawn.length - 1e-9) - 1)] : NaN);
      return { ...one, rank: one.sum / one.weight, low: at(0.025), high: at(0.975), most };
    });
    return { rows: found.sort((a, b) => a.rank - b.rank), few, none: !used.length };
  }

  const shown = (value) => (Number.isNaN(value) ? "–" : String(Math.round(value * 100) / 100));
  function draw() {
    const { rows, few } = rank();
    const table = document.getElementById("ranks");
    table.replaceChildren();
    const head = table.createTHead().insertRow();
    for (const name of ["Loss", "Supervision", "Rank", "95 % interval", "", "Of"]) head.append(make("th", { textContent: name, scope: "col" }));
    const body = table.createTBody();
    const last = Math.max(1, rows.length - 1);
    for (const one of rows) {
      const line = body.insertRow();
      const interval = Number.isNaN(one.low) ? "not known" : `${shown(one.low)} – ${shown(one.high)}`;
      for (const text of [one.id.split(":").slice(1).join(":"), one.supervision, shown(one.rank), interval]) line.insertCell().textContent = text;
      const bar = make("div", { className: "rankbar" });
      const place = (value) => 157 * Math.min(1, (value - 1) / last);
      if (!Number.isNaN(one.low)) { const range = make("i"); range.style.left = place(one.low) + "px"; range.style.width = place(one.high) - place(one.low) + "px"; bar.append(range); }
      const dot = make("b"); dot.style.left = place(one.rank) + "px"; bar.append(dot);
      line.insertCell().append(bar);
      line.insertCell().textContent = one.contests < one.most ? `${one.contests} of ${one.most} rankings` : `${one.contests}`;
      line.dataset.id = one.id;
    }
    const note = [];
    if (!rows.length) note.push("Nothing to rank: no loss was scored for this choice, or nothing is chosen.");
    if (few) note.push("Where there are fewer than three subjects there is no interval.");
    if (rows.some((one) => one.contests < one.most)) note.push("Not every loss was run everywhere: average ranks over different rankings are not strictly comparable.");
    document.getElementById("ranknote").textContent = note.join(" ");
  }

  function choices() {
    for (const [key, values] of Object.entries(groups)) {
      const wanted = query.has(key) ? query.get(key).split(",").filter((value) => values.includes(value)) : standard[key];
      chosen[key] = new Set(wanted);
      const said = () => { const now = [...chosen[key]].sort().join(","); kept[key] = now === [...standard[key]].sort().join(",") ? null : now || "-"; };
      said();
      const set = make("fieldset", {}, make("legend", { textContent: titles[key] }));
      for (const value of values) {
        const box = make("input", { type: "checkbox", name: key, value, checked: chosen[key].has(value) });
        box.addEventListener("change", () => { chosen[key][box.checked ? "add" : "delete"](value); said(); remember(); draw(); });
        const label = make("label", {}, box, " " + value);
        if (key === "dataset") {
          weights[value] = query.get("w." + value) ?? "1";
          if (weights[value] !== "1") kept["w." + value] = weights[value];
          const weight = make("input", { type: "number", min: 0, step: 0.5, value: weights[value], title: "weight of " + value, ariaLabel: "weight of " + value });
          weight.addEventListener("change", () => { weights[value] = weight.value; kept["w." + value] = weight.value === "1" ? null : weight.value; remember(); draw(); });
          label.append(" × ", weight);
        }
        set.append(label);
      }
      form.append(set);
    }
  }

  // --- the table of gains
  function gains() {
    const table = document.getElementById("gains");
    if (!table) return;
    const heads = [...table.tHead.rows[0].cells];
    const value = (line, at) => { const cell = line.cells[at]; return cell.dataset.value !== undefined ? (cell.dataset.value === "" ? null : +cell.dataset.value) : cell.textContent.trim(); };
    const sort = (at, down) => {
      heads.forEach((head, place) => head.setAttribute("aria-sort", place === at ? (down ? "descending" : "ascending") : "none"));
      const lines = [...table.tBodies[0].rows].sort((a, b) => {
        const one = value(a, at), other = value(b, at);
        if (one === null || other === null) return (one === null) - (other === null);
        return (down ? -1 : 1) * (typeof one === "number" ? one - other : one.localeCompare(other));
      });
      table.tBodies[0].append(...lines);
      kept.sort = heads[at].dataset.column + (down ? "-" : "");
    };
    heads.forEach((head, at) => head.firstElementChild.addEventListener("click", () => { sort(at, head.getAttribute("aria-sort") === "ascending"); remember(); }));
    const filter = document.getElementById("filter");
    const sift = () => {
      const words = filter.value.toLowerCase().split(/\s+/);
      for (const line of table.tBodies[0].rows) line.hidden = !words.every((word) => line.textContent.toLowerCase().includes(word));
      kept.filter = filter.value;
    };
    filter.addEventListener("input", () => { sift(); remember(); });
    const hidden = new Set((query.get("hide") || "").split(",").filter(Boolean));
    const hide = () => {
      heads.forEach((head, at) => { for (const line of table.rows) line.cells[at].hidden = hidden.has(head.dataset.column); });
      kept.hide = [...hidden].join(",");
    };
    const list = make("details", {}, make("summary", { textContent: "Columns" }));
    for (const head of heads) {
      const box = make("input", { type: "checkbox", checked: !hidden.has(head.dataset.column), value: head.dataset.column, name: "column" });
      box.addEventListener("change", () => { hidden[box.checked ? "delete" : "add"](box.value); hide(); remember(); });
      list.append(make("label", {}, box, " " + head.textContent + " "));
    }
    document.getElementById("columns").append(list);
    filter.value = query.get("filter") || "";
    sift();
    hide();
    const wanted = query.get("sort");
    const at = wanted ? heads.findIndex((head) => head.dataset.column === wanted.replace(/-$/, "")) : -1;
    if (at >= 0) sort(at, wanted.endsWith("-"));
  }

  // --- tables to download
  function downloads() {
    const list = document.getElementById("tables");
    for (const [name, packed] of Object.entries(read("tables"))) {
      const button = make("button", { type: "button", textContent: name + ".csv" });
      button.addEventListener("click", async () => {
        const bytes = Uint8Array.from(atob(packed), (sign) => sign.charCodeAt(0));
        const blob = await new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).blob();
        const link = make("a", { href: URL.createObjectURL(new Blob([blob], { type: "text/csv" })), download: name + ".csv" });
        link.click();
      });
      list.append(make("li", {}, button));
    }
    if (!list.children.length) list.append(make("li", { textContent: "The study has no tables." }));
  }

  choices();
  gains();
  downloads();
  // after the first paint: the ranks of all draws take longer than the page
  setTimeout(() => { draw(); document.body.dataset.board = "ready"; });
  if (query.size) document.getElementById("board").scrollIntoView();
})();
