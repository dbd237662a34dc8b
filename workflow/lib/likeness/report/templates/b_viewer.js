"use strict";
// Two losses on the same pair: the browser interpolates displacements from a coarse grid and warps the moving image.
(async () => {
  const pairs = JSON.parse(document.getElementById("data-viewer").textContent);
  const view = document.getElementById("view");
  if (!pairs.length) { document.getElementById("nothing").hidden = false; return; }
  view.hidden = false;
  const MODES = { moved: "moved image", difference: "difference from the fixed image", flicker: "flicker with the fixed image", swipe: "swipe: fixed on the right", checkerboard: "checkerboard", grid: "deformed grid", jacobian: "Jacobian determinant", error: "error against the truth", moving: "moving image", fixed: "fixed image" };
  const KEYS = { f: "flicker", s: "swipe", c: "checkerboard", g: "grid", j: "jacobian", e: "error", m: "moved", d: "difference" };
  const state = { pair: 0, ids: [null, null], lam: 0, mode: "moved", labels: false, blink: false, swipe: 0.5 };
  const unpack = async (text, kind = Uint8Array) => {
    const bytes = Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
    return new kind(await new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"))).arrayBuffer());
  };

  async function open(pair) {
    if (pair.ready) return pair;
    const dims = pair.shape.length;
    pair.axes2 = [...pair.shape.keys()].filter((axis) => axis !== pair.cut);
    pair.size = pair.axes2.map((axis) => pair.shape[axis]);
    for (const key of ["image", "target", "labels", "outlines"]) pair[key] = pair[key] && (await unpack(pair[key]));
    for (const field of pair.fields) field.full = expand(await unpack(field.values, Int8Array), field, pair.size, pair.stride, dims);
    pair.truth = pair.fields.find((field) => field.id === "truth") || null;
    pair.ids = [...new Set(pair.fields.filter((field) => field !== pair.truth).map((field) => field.id))];
    pair.ready = true;
    return pair;
  }
  // linear between the nodes of the coarse grid; its last interval may be shorter
  function expand(values, field, [rows, columns], stride, dims) {
    const [high, wide] = field.grid, full = new Float32Array(rows * columns * dims);
    const place = (at, size, nodes) => {
      const low = Math.min(Math.floor(at / stride), Math.max(0, nodes - 2)), from = low * stride;
      const to = Math.min(from + stride, size - 1);
      return [low, to > from ? (at - from) / (to - from) : 0];
    };
    for (let a = 0; a < rows; a++) for (let b = 0; b < columns; b++) {
      const [i, s] = place(a, rows, high), [j, t] = place(b, columns, wide);
      const under = Math.min(i + 1, high - 1), right = Math.min(j + 1, wide - 1);
      for (let d = 0; d < dims; d++) {
        const value = (x, y) => values[(x * wide + y) * dims + d];
        const upper = value(i, j) * (1 - t) + value(i, right) * t, lower = value(under, j) * (1 - t) + value(under, right) * t;
        full[(a * columns + b) * dims + d] = field.step * (upper * (1 - s) + lower * s);
      }
    }
    return full;
  }
  // position in the moving image of a voxel of the slice
  function source(pair, field, a, b) {
    const dims = pair.shape.length, at = (a * pair.size[1] + b) * dims, where = [0, 0, 0].slice(0, dims);
    if (pair.cut !== null) where[pair.cut] = pair.place;
    where[pair.axes2[0]] = a; where[pair.axes2[1]] = b;
    if (field) for (let d = 0; d < dims; d++) where[d] += field.full[at + d];
    return where;
  }
  function sample(pair, array, where, nearest) {
    const base = where.map((x, d) => (nearest ? Math.round(x) : Math.floor(x)));
    const clamp = (x, d) => Math.min(Math.max(x, 0), pair.shape[d] - 1);
    let sum = 0;
    for (let corner = 0; corner < (nearest ? 1 : 1 << where.length); corner++) {
      let weight = 1, at = 0;
      for (let d = 0; d < where.length; d++) {
        const bit = (corner >> d) & 1, share = nearest ? 0 : where[d] - base[d];
        weight *= bit ? share : 1 - share;
        at = at * pair.shape[d] + clamp(base[d] + bit, d);
      }
      if (weight) sum += weight * array[at];
    }
    return sum;
  }
  const fieldOf = (pair, id) => {
    const own = pair.fields.filter((field) => field.id === id).sort((x, y) => x.lam - y.lam);
    return own[Math.min(state.lam, own.length - 1)] || null;
  };
  function jacobian(pair, field, a, b) {
    const [rows, columns] = pair.size, dims = pair.shape.length, [one, two] = pair.axes2;
    const value = (x, y, d) => field.full[(Math.min(Math.max(x, 0), rows - 1) * columns + Math.min(Math.max(y, 0), columns - 1)) * dims + d];
    const along = (d) => [(value(a + 1, b, d) - value(a - 1, b, d)) / 2, (value(a, b + 1, d) - value(a, b - 1, d)) / 2];
    const [p, q] = along(one), [r, s] = along(two);
    return (1 + p) * (1 + s) - q * r;
  }
  const signed = (share) => { const x = Math.min(Math.max(share, -1), 1), fade = 255 * (1 - Math.abs(x)); return x > 0 ? [255, fade, fade] : [fade, fade, 255]; };
  function colour(pair, field, a, b, r, c, moved, fixed, high, wide) {
    switch (state.mode) {
      case "difference": return signed((moved - fixed) / 128);
      case "flicker": return Array(3).fill(state.blink ? fixed : moved);
      case "swipe": return Array(3).fill(c >= state.swipe * wide ? fixed : moved);
      case "checkerboard": return Array(3).fill((Math.floor((8 * r) / high) + Math.floor((8 * c) / wide)) % 2 ? fixed : moved);
      case "grid": { const where = source(pair, field, a, b), near = pair.axes2.some((axis) => { const x = where[axis] / 6; return Math.abs(x - Math.round(x)) < 0.09; }); return near ? [90, 200, 255] : Array(3).fill(moved * 0.7); }
      case "jacobian": { const det = jacobian(pair, field, a, b); return det <= 0 ? [255, 255, 0] : signed(Math.log2(det)); }
      case "error": {
        if (!pair.truth) return [40, 40, 40];
        const dims = pair.shape.length, at = (a * pair.size[1] + b) * dims;
        let sum = 0;
        for (let d = 0; d < dims; d++) sum += ((field.full[at + d] - pair.truth.full[at + d]) * pair.spacing[d]) ** 2;
        const x = Math.min(1, Math.sqrt(sum) / (8 * Math.max(...pair.spacing)) * 2);
        return [255 * Math.min(1, 2 * x), 255 * Math.max(0, 2 * x - 1), 60 * (1 - x)];
      }
      case "moving": return Array(3).fill(sample(pair, pair.image, source(pair, null, a, b), false));
      case "fixed": return Array(3).fill(fixed);
      default: return Array(3).fill(moved);
    }
  }
  function paint(canvas, pair, id) {
    const field = fieldOf(pair, id), [rows, columns] = pair.size, flat = pair.axes === "ij";
    const high = flat ? rows : columns, wide = flat ? columns : rows, zoom = 3;
    canvas.width = wide * zoom; canvas.height = high * zoom;
    const context = canvas.getContext("2d"), image = context.createImageData(canvas.width, canvas.height);
    const back = (r, c) => (flat ? [r, c] : [c, columns - 1 - r]);
    const warped = new Uint8Array(rows * columns);
    if (state.labels && pair.labels) for (let a = 0; a < rows; a++) for (let b = 0; b < columns; b++) warped[a * columns + b] = sample(pair, pair.labels, source(pair, state.mode === "moving" ? null : field, a, b), true);
    const edge = (array, a, b) => (a + 1 < rows && array[a * columns + b] !== array[(a + 1) * columns + b]) || (b + 1 < columns && array[a * columns + b] !== array[a * columns + b + 1]);
    for (let r = 0; r < high; r++) for (let c = 0; c < wide; c++) {
      const [a, b] = back(r, c), moved = sample(pair, pair.image, source(pair, field, a, b), false), fixed = pair.target[a * columns + b];
      let rgb = colour(pair, field, a, b, r, c, moved, fixed, high, wide);
      if (state.labels && pair.labels) { if (edge(pair.outlines, a, b)) rgb = [26, 140, 242]; if (edge(warped, a, b)) rgb = [230, 115, 13]; }
      for (let y = 0; y < zoom; y++) for (let x = 0; x < zoom; x++) image.data.set([...rgb, 255], 4 * ((r * zoom + y) * canvas.width + c * zoom + x));
    }
    context.putImageData(image, 0, 0);
    return field;
  }

  const canvases = [document.getElementById("left"), document.getElementById("right")];
  const controls = document.getElementById("controls");
  const select = (label, id, values, change) => {
    const menu = Object.assign(document.createElement("select"), { id });
    for (const [value, text] of values) menu.append(new Option(text, value));
    menu.addEventListener("change", () => change(menu.value));
    const box = document.createElement("label");
    box.append(label + " ", menu);
    controls.append(box);
    return menu;
  };
  const dataset = select("Dataset", "pair", pairs.map((pair, at) => [at, `${pair.dataset}: ${pair.moving} → ${pair.fixed}`]), (at) => show(+at));
  const menus = [0, 1].map((side) => select(["Left", "Right"][side], ["first", "second"][side], [], (id) => { state.ids[side] = id; draw(); }));
  const mode = select("Show", "mode", Object.entries(MODES), (value) => set("mode", value));
  const slider = Object.assign(document.createElement("input"), { type: "range", id: "lam", min: 0, step: 1 });
  slider.addEventListener("input", () => set("lam", +slider.value));
  const swipe = Object.assign(document.createElement("input"), { type: "range", id: "swipe", min: 0, max: 1, step: 0.02, value: 0.5 });
  swipe.addEventListener("input", () => set("swipe", +swipe.value));
  const labels = Object.assign(document.createElement("input"), { type: "checkbox", id: "labels" });
  labels.addEventListener("change", () => set("labels", labels.checked));
  for (const [text, input] of [["λ", slider], ["Swipe", swipe], ["Labels", labels]]) { const box = document.createElement("label"); box.append(text + " ", input); controls.append(box); }
  function set(key, value) { state[key] = value; draw(); }

  function draw() {
    const pair = pairs[state.pair];
    mode.value = state.mode; slider.value = state.lam; labels.checked = state.labels;
    canvases.forEach((canvas, side) => {
      const field = paint(canvas, pair, state.ids[side]);
      const chosen = pair.chosen[field.id];
      const lam = field.lam === null ? "no λ" : `λ ${field.lam}${chosen !== undefined && Math.abs(chosen - field.lam) < 1e-9 ? ", the chosen one" : ""}`;
      const lacking = state.mode === "error" && !pair.truth ? " The truth of this pair is not known." : "";
      const cut = state.mode === "jacobian" && pair.cut !== null ? " (within the slice alone)" : "";
      const said = `${field.id}, ${lam}: ${MODES[state.mode]}${cut}.${lacking}`;
      canvas.setAttribute("aria-label", said);
      document.getElementById(["leftsaid", "rightsaid"][side]).textContent = said;
    });
  }
  async function show(at) {
    state.pair = at;
    const pair = await open(pairs[at]);
    const ids = pair.ids;
    menus.forEach((menu, side) => {
      menu.replaceChildren(...ids.map((id) => new Option(id, id)));
      if (!ids.includes(state.ids[side])) state.ids[side] = ids[Math.min(side, ids.length - 1)];
      menu.value = state.ids[side];
    });
    const levels = Math.max(...ids.map((id) => pair.fields.filter((field) => field.id === id).length));
    slider.max = levels - 1;
    const first = pair.fields.filter((field) => field.id === ids[0]).map((field) => field.lam).sort((x, y) => x - y);
    state.lam = Math.max(0, first.findIndex((lam) => lam === pair.chosen[ids[0]]));
    draw();
    document.body.dataset.viewer = "ready";
  }
  canvases.forEach((canvas) => canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key in KEYS) set("mode", KEYS[event.key]);
    else if (event.key === "l") set("labels", !state.labels);
    else if (event.key === "ArrowLeft") set("lam", Math.max(0, state.lam - 1));
    else if (event.key === "ArrowRight") set("lam", Math.min(+slider.max, state.lam + 1));
    else return;
    event.preventDefault();
  }));
  setInterval(() => { if (state.mode === "flicker") { state.blink = !state.blink; draw(); } }, 500);
  // not before it is looked at, so that the page opens at once
  new IntersectionObserver((entries, observer) => { if (entries.some((entry) => entry.isIntersecting)) { observer.disconnect(); show(0); } }, { rootMargin: "200px" }).observe(view);
})();
