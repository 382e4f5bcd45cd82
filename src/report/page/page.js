// The dial, the filters, the details of a marker and the sorting of the table. Every text comes
// from the data that the report embedded; nothing is loaded and nothing is computed anew.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];

  // --- the dial
  const group = $("dial-group"), slider = $("dial-slider"), stops = $("dial-stops");

  const showRow = (row) => {
    all("tr.shown").forEach((tr) => tr.classList.remove("shown"));
    const tr = $(`row-${row}`);
    if (tr.hidden) $("filters").querySelector("form").reset();
    tr.classList.add("shown");
    tr.scrollIntoView({ block: "center", inline: "nearest" });
    tr.tabIndex = -1;
    tr.focus({ preventScroll: true });
  };

  const position = () => data.dials[group.value].positions[slider.value];

  const turn = () => {
    const at = position();
    for (const part of ["gloss", "speed", "error", "advice"]) $(`dial-${part}`).textContent = at[part];
    $("dial-speed-bar").style.width = `${100 * at.speed_share}%`;
    $("dial-error-bar").style.width = `${100 * at.exactness_share}%`;
    $("dial-speed-text").textContent = at.throughput;
    $("dial-error-text").textContent = at.error_value;
    $("dial-source").textContent = data.rows[at.row].source;
    slider.setAttribute("aria-valuetext", [at.speed, at.gloss, at.error, at.advice].filter(Boolean).join(" "));
    all("button", stops).forEach((button, i) => button.setAttribute("aria-pressed", i == slider.value));
  };

  const chooseGroup = () => {
    const positions = data.dials[group.value].positions;
    slider.max = positions.length - 1;
    slider.value = 0;
    slider.disabled = positions.length < 2;
    stops.replaceChildren(...positions.map((at, i) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = at.name;
      button.title = at.gloss;
      button.addEventListener("click", () => { slider.value = i; turn(); });
      return button;
    }));
    turn();
  };
  group.addEventListener("change", chooseGroup);
  slider.addEventListener("input", turn);
  $("dial-source").addEventListener("click", (event) => { event.preventDefault(); showRow(position().row); });
  chooseGroup();

  // --- the filters
  const form = $("filters").querySelector("form");

  const filter = () => {
    const wanted = Object.fromEntries(all("select", form).map((s) => [s.dataset.filter, s.value]));
    const fits = (element) => Object.entries(wanted).every(
      ([name, value]) => !value || element.dataset[name] === undefined || element.dataset[name] === value);
    for (const element of all(".card, .legend li, #table tbody tr, #errors tbody tr")) element.hidden = !fits(element);
    // SVG elements have no `hidden`.
    for (const element of all(".card g[data-precision]")) element.style.display = fits(element) ? "" : "none";
    for (const card of all(".card:not([hidden])")) {
      card.hidden = !all(".mark", card).some((mark) => mark.style.display !== "none");
    }
    for (const figure of all("figure")) figure.hidden = !figure.querySelector(".card:not([hidden])");
    for (const kind of all(".kind")) kind.hidden = !kind.querySelector("figure:not([hidden])");
    const rows = all("#table tbody tr"), shown = rows.filter((row) => !row.hidden).length;
    $("filter-count").textContent = `${shown} of ${rows.length} rows, ${all(".card:not([hidden])").length} plots`;
    reachable();
  };
  form.addEventListener("change", filter);
  form.addEventListener("reset", () => setTimeout(filter)); // the values are reset after the event
  form.addEventListener("submit", (event) => event.preventDefault());

  // --- the markers: one of each plot can be reached by Tab, the others by arrow keys
  const details = $("details");
  const marks = (card) => all(".mark", card).filter((mark) => mark.style.display !== "none");

  function reachable() {
    for (const card of all(".card")) {
      all(".mark", card).forEach((mark) => mark.setAttribute("tabindex", "-1"));
      marks(card)[0]?.setAttribute("tabindex", "0");
    }
  }

  const showDetails = (mark) => {
    const row = data.rows[mark.dataset.row];
    const title = document.createElement("strong"), list = document.createElement("dl");
    title.textContent = row.title;
    for (const [name, value] of [...row.facts, ["source", row.source]]) {
      const term = document.createElement("dt"), text = document.createElement("dd");
      term.textContent = name;
      text.textContent = value;
      list.append(term, text);
    }
    details.replaceChildren(title, list);
    details.hidden = false;
    const box = mark.getBoundingClientRect(), own = details.getBoundingClientRect();
    const within = (value, size, limit) => Math.max(8, Math.min(value, limit - size - 8));
    const width = document.documentElement.clientWidth, below = box.bottom + 10;
    details.style.left = `${within(box.left + box.width / 2 - own.width / 2, own.width, width)}px`;
    details.style.top = `${below + own.height < innerHeight ? below : Math.max(8, box.top - own.height - 10)}px`;
  };
  const hideDetails = () => { details.hidden = true; };

  for (const card of all(".card")) {
    const mark = (event) => event.target.closest(".mark");
    card.addEventListener("pointerover", (event) => { if (mark(event)) showDetails(mark(event)); });
    card.addEventListener("pointerout", hideDetails);
    card.addEventListener("focusin", (event) => { if (mark(event)) showDetails(mark(event)); });
    card.addEventListener("focusout", hideDetails);
    card.addEventListener("click", (event) => { if (mark(event)) showRow(mark(event).dataset.row); });
    card.addEventListener("keydown", (event) => {
      const current = mark(event);
      if (!current) return;
      const list = marks(card), at = list.indexOf(current);
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (step) {
        const next = list[(at + step + list.length) % list.length];
        current.setAttribute("tabindex", "-1");
        next.setAttribute("tabindex", "0");
        next.focus();
      } else if (event.key === "Enter" || event.key === " ") showRow(current.dataset.row);
      else if (event.key === "Escape") hideDetails();
      else return;
      event.preventDefault();
    });
  }

  // --- the table: numbers by value and before texts, texts by their letters
  const body = document.querySelector("#table tbody");
  all("#table th").forEach((header, column) => header.querySelector("button").addEventListener("click", () => {
    const down = header.getAttribute("aria-sort") === "ascending";
    all("#table th").forEach((other) => other.removeAttribute("aria-sort"));
    header.setAttribute("aria-sort", down ? "descending" : "ascending");
    const key = (row) => {
      const cell = row.cells[column];
      return cell.dataset.sort === undefined ? cell.textContent : Number(cell.dataset.sort);
    };
    const compare = (a, b) => {
      if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
      const order = typeof a === "number" ? a - b : a.localeCompare(b, "en", { numeric: true });
      return down ? -order : order;
    };
    body.append(...[...body.rows].sort((a, b) => compare(key(a), key(b))));
  }));

  filter();
})();
