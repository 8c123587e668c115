// The explorer's page: everything is in the JSON beside it. State: a query, a setting of the knob,
// the picked match, heat on or off; the address keeps all of it, so a view can be sent as a link.
(() => {
  const root = document.querySelector(".explorer:not([data-ready])");
  if (!root) return;
  root.dataset.ready = "";
  const data = JSON.parse(root.querySelector("script").textContent);
  const [width, height] = data.size;
  const state = { query: 0, knob: 0, list: Math.min(1, data.searchers.length - 1), place: 0, heat: true };

  // ------------------------------------------------------------------------------ small builders

  // An element with attributes and children; a child may be text.
  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  }

  const percent = (share) => `${Math.round(100 * share)} %`;
  const setting = () => data.settings[state.knob];
  const clothes = (pid) => setting().clothes[pid];

  // Picture number `index` of the sheet (queries first, then the gallery), cut out by background
  // position in percent, so that style sheets decide its size.
  function picture(index, words) {
    const rows = Math.ceil((data.queries.length + data.gallery.length) / data.columns);
    const x = index % data.columns, y = Math.floor(index / data.columns);
    const span = make("span", { class: "ex-picture", ...(words ? { role: "img", "aria-label": words } : {}) });
    span.style.aspectRatio = `${width} / ${height}`;
    span.style.backgroundSize = `${100 * data.columns}% ${100 * rows}%`;
    span.style.backgroundPosition =
      `${(100 * x) / (data.columns - 1)}% ${rows > 1 ? (100 * y) / (rows - 1) : 0}%`;
    return span;
  }

  // One cell of colour for each part of the score; what adds little stays clear.
  function heatMap(list, place) {
    const { grid, heat } = setting().results[list];
    const cells = grid[0] * grid[1];
    const levels = heat[state.query].slice(cells * place, cells * (place + 1));
    const canvas = make("canvas", { class: "ex-heat", width: grid[1], height: grid[0], "aria-hidden": "true" });
    const paint = canvas.getContext("2d");
    [...levels].forEach((digit, cell) => {
      const level = parseInt(digit, 16);
      paint.globalAlpha = (0.7 * level) / 15;
      paint.fillStyle = data.heat[level];
      paint.fillRect(cell % grid[1], Math.floor(cell / grid[1]), 1, 1);
    });
    return canvas;
  }

  function match(list, place) {
    const index = setting().results[list].lists[state.query][place];
    const [pid, camid] = data.gallery[index];
    return { index, pid, camid, right: pid === data.queries[state.query][0] };
  }

  // A group of radio buttons: Tab enters it, arrow keys move in it, without a line of script.
  function radios(name, legend, labels, choose) {
    const group = make("fieldset", { class: `ex-${name}` }, make("legend", {}, legend));
    labels.forEach((label, i) => {
      const input = make("input", { type: "radio", name: `ex-${name}`, value: i });
      input.addEventListener("change", () => choose(i));
      group.append(make("label", {}, input, ...label));
    });
    return group;
  }

  // ------------------------------------------------------------------------------ what stands still

  const knobs = radios("knobs", "The world",
    data.settings.map((each) => [make("span", { title: each.about }, each.name)]),
    (i) => update({ knob: i }));
  const queries = radios("queries", "Pick a query",
    data.queries.map(() => [make("span", { class: "ex-thumb" })]),
    (i) => update({ query: i, place: 0 }));
  const heat = make("input", { type: "checkbox" });
  heat.addEventListener("change", () => update({ heat: heat.checked }));
  const scale = make("span", { class: "ex-scale", "aria-hidden": "true" });
  scale.style.backgroundImage = `linear-gradient(to right, ${data.heat.join(", ")})`;
  const heatLabel = make("label", { class: "ex-switch" }, heat, " heat: what the score rests on ",
    make("span", { class: "ex-legend" }, "least", scale, "most"));
  const status = make("p", { class: "ex-status", role: "status", "aria-live": "polite" });
  const about = make("p", { class: "ex-about" });
  const pair = make("div", { class: "ex-pair" });
  const lists = make("div", { class: "ex-lists" });
  root.append(knobs, about, make("div", { class: "ex-view" },
    make("div", {}, queries, pair), make("div", {}, heatLabel, lists)), status);

  // ------------------------------------------------------------------------------ what changes

  function drawQueries() {
    [...queries.querySelectorAll("label")].forEach((label, i) => {
      const [pid, camid] = data.queries[i];
      const found = setting().results.filter((one) => one.first[i] === 1).length;
      const words = `query ${i + 1}: ${clothes(pid)}; camera ${camid + 1}`;
      label.querySelector("input").setAttribute("aria-label",
        `${words}; ${found} of ${data.searchers.length} lists begin right`);
      label.title = words;
      label.querySelector(".ex-thumb").replaceChildren(picture(i),
        make("span", { class: "ex-count", "aria-hidden": "true" }, "✓".repeat(found) || "–"));
    });
  }

  function drawPair() {
    const [pid, camid] = data.queries[state.query];
    const found = match(state.list, state.place);
    const searcher = data.searchers[state.list];
    const verdict = found.right ? "✓ the same person" : "✗ somebody else";
    const shown = picture(data.queries.length + found.index, `match: ${clothes(found.pid)}`);
    if (state.heat) shown.append(heatMap(state.list, state.place));
    const left = data.gallery.flatMap(([p, c], i) => (p === pid && c === camid ? [i] : []));
    pair.replaceChildren(
      make("div", {}, picture(state.query, `query ${state.query + 1}: ${clothes(pid)}`),
        make("b", {}, `query ${state.query + 1}`), `, camera ${camid + 1}`),
      make("div", { class: found.right ? "right" : "wrong" }, shown, make("b", {}, verdict),
        `, camera ${found.camid + 1}. Rank ${state.place + 1} of ${searcher.name}.`),
      make("p", {}, make("b", {}, searcher.name), `: ${searcher.about}`,
        state.heat ? ` Heat: ${searcher.heat}.` : ""),
      make("p", { class: "ex-left" },
        ...left.map((i) => picture(data.queries.length + i, `left out: ${clothes(pid)}`)),
        make("span", {}, "Left out of every list: the same person, seen by the same camera.")));
  }

  function drawList(list) {
    const searcher = data.searchers[list], now = setting().results[list], usual = data.settings[0].results[list];
    const change = Math.round(100 * (now.rank1 - usual.rank1));
    const items = now.lists[state.query].map((_, place) => {
      const found = match(list, place);
      const words = `${searcher.name}, rank ${place + 1}: ${found.right ? "right" : "wrong"}; ` +
        `${clothes(found.pid)}; camera ${found.camid + 1}`;
      const button = make("button", { type: "button", class: found.right ? "right" : "wrong", "aria-label": words,
        title: words, "aria-pressed": list === state.list && place === state.place,
        tabindex: list === state.list && place === state.place ? 0 : -1 },
      picture(data.queries.length + found.index), make("span", { class: "ex-mark" }, found.right ? "✓" : "✗"));
      if (state.heat) button.firstChild.append(heatMap(list, place));
      button.addEventListener("click", () => update({ list, place }));
      button.addEventListener("keydown", (event) => walk(event, list, place));
      return make("li", {}, button);
    });
    const first = now.first[state.query];
    return make("section", { "aria-label": searcher.name },
      make("p", { class: "ex-name" }, make("b", {}, searcher.name), `first ✓: rank ${first}`,
        make("span", { class: "ex-score" }, `Rank-1 ${percent(now.rank1)}`,
          make("span", { class: "ex-change" }, state.knob ? ` (${change < 0 ? "−" : "+"}${Math.abs(change)})` : ""),
          ` · mAP ${percent(now.mAP)}`)),
      make("ol", {}, ...items));
  }

  // Arrow keys walk through the lists: left and right within one, up and down between them.
  function walk(event, list, place) {
    const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (!step) return;
    event.preventDefault();
    const within = (value, count) => Math.max(0, Math.min(count - 1, value));
    update({ list: within(list + step[0], data.searchers.length),
      place: within(place + step[1], setting().results[list].lists[state.query].length) });
    lists.querySelector("[aria-pressed=true]").focus();
  }

  function say() {
    const told = data.searchers.map((searcher, i) =>
      `${searcher.name}: first right match at rank ${setting().results[i].first[state.query]}`);
    const text = `Query ${state.query + 1}, ${setting().name}. ${told.join("; ")}.`;
    if (status.textContent !== text) status.textContent = text;
  }

  function update(change) {
    const begun = lists.firstChild;
    Object.assign(state, change);
    knobs.querySelectorAll("input")[state.knob].checked = true;
    queries.querySelectorAll("input")[state.query].checked = true;
    heat.checked = state.heat;
    about.textContent = `${setting().name}: ${setting().about}`;
    if (!begun || "knob" in change) {
      root.style.setProperty("--ex-sheet", `url(${setting().sheet})`);
      drawQueries();
    }
    const focus = lists.contains(document.activeElement);
    lists.replaceChildren(...data.searchers.map((_, list) => drawList(list)));
    if (focus) lists.querySelector("[aria-pressed=true]").focus();
    drawPair();
    say();
    const shown = `match=${state.list + 1}.${state.place + 1}&heat=${+state.heat}`;
    if (begun) history.replaceState(null, "", `#query=${state.query + 1}&knob=${setting().id}&${shown}`);
  }

  // ------------------------------------------------------------------------------ the address

  // What the address says, as far as it makes sense: #query=3&knob=night&match=2.1&heat=0
  function read() {
    const asked = new URLSearchParams(location.hash.slice(1));
    const query = parseInt(asked.get("query"), 10) - 1;
    const knob = data.settings.findIndex((each) => each.id === asked.get("knob"));
    const [list, place] = (asked.get("match") || "").split(".").map((text) => parseInt(text, 10) - 1);
    const found = {};
    if (data.queries[query]) found.query = query;
    if (knob >= 0) found.knob = knob;
    if (data.settings[0].results[list]?.lists[0][place] !== undefined) Object.assign(found, { list, place });
    if (asked.has("heat")) found.heat = asked.get("heat") !== "0";
    return found;
  }

  update(read());
  addEventListener("hashchange", () => {
    const asked = read(); // nothing, where a link of the page led to a heading
    if (Object.keys(asked).length) update(asked);
  });
})();
