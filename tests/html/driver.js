// Does what a reader does with the page and tells the frame about it what came of it.
"use strict";
(async () => {
  const $ = (id) => document.getElementById(id);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const text = (id) => $(id).textContent;
  const fire = (target, type) => target.dispatchEvent(new Event(type, { bubbles: true }));
  const press = (target, key) =>
    target.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
  const visible = (element) => element.getClientRects().length > 0;
  const outcome = { dials: [], filters: [], sorts: [] };

  try {
    outcome.width = innerWidth;
    outcome.scrolls = document.documentElement.scrollWidth > document.documentElement.clientWidth;
    outcome.first_screen = $("dial-speed").getBoundingClientRect().top < innerHeight;
    all("details").forEach((element) => { element.open = true; });
    outcome.scrolls_open = document.documentElement.scrollWidth > document.documentElement.clientWidth;

    for (const option of $("dial-group").options) {
      $("dial-group").value = option.value;
      fire($("dial-group"), "change");
      const slider = $("dial-slider"), positions = [];
      for (let at = 0; at <= Number(slider.max); at++) {
        slider.value = at;
        fire(slider, "input");
        positions.push({
          speed: text("dial-speed"), error: text("dial-error"), advice: text("dial-advice"),
          throughput: text("dial-speed-text"), value: text("dial-error-text"),
          source: text("dial-source"), spoken: slider.getAttribute("aria-valuetext"),
          pressed: all('[aria-pressed="true"]').map((button) => button.textContent).join(),
        });
      }
      outcome.dials.push({ label: option.textContent, positions });
    }

    const rows = all("#table tbody tr");
    for (const select of all("#filters select")) {
      for (const option of [...select.options].slice(1)) {
        select.value = option.value;
        fire(select, "change");
        const name = select.dataset.filter;
        const shown = all("#table tbody tr, .card, .card .mark").filter(visible);
        outcome.filters.push({
          name, value: option.value,
          rows: rows.filter(visible).length,
          strangers: shown.filter((e) => e.dataset[name] !== undefined && e.dataset[name] !== option.value).length,
          marks: all(".card .mark").filter(visible).length,
          said: text("filter-count"),
        });
        select.value = "";
        fire(select, "change");
      }
    }
    outcome.rows = rows.filter(visible).length;

    all("#table th").forEach((header, column) => {
      for (const direction of ["ascending", "descending"]) {
        header.querySelector("button").click();
        const cells = all("#table tbody tr").map((row) => row.cells[column]);
        outcome.sorts.push({
          column: header.textContent, direction, said: header.getAttribute("aria-sort"),
          numbers: cells.filter((cell) => cell.dataset.sort !== undefined).map((cell) => Number(cell.dataset.sort)),
        });
      }
    });

    const card = document.querySelector(".card");
    const reachable = card ? all('.mark[tabindex="0"]', card) : [];
    outcome.reachable = reachable.length;
    if (reachable.length) {
      reachable[0].focus();
      const before = text("details");
      press(document.activeElement, "ArrowRight");
      outcome.keyboard = {
        moved: document.activeElement !== reachable[0] && document.activeElement.matches(".mark"),
        details: text("details"), before, shown: !$("details").hidden,
        row: Number(document.activeElement.dataset.row),
      };
      press(document.activeElement, "Escape");
      outcome.keyboard.hidden = $("details").hidden;
      const row = document.activeElement.dataset.row;
      press(document.activeElement, "Enter");
      outcome.keyboard.went = document.activeElement.id === `row-${row}`;
    }
    outcome.unnamed = all("select, input, button, .mark").filter(
      (e) => !(e.labels?.length || e.textContent.trim() || e.getAttribute("aria-label"))).length;
  } catch (error) {
    window.faults.push(`driver: ${error.stack}`);
  }
  await new Promise((resolve) => setTimeout(resolve, 50));
  outcome.faults = window.faults;
  parent.postMessage(JSON.stringify(outcome), "*");
})();
