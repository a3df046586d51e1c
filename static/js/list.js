// The leads list: choosing rows and moving through them by keys. Everything it does can be done without it.
(() => {
  const $ = (selector) => document.querySelector(selector);
  const all = (selector) => [...document.querySelectorAll(selector)];
  const ticks = () => all('[data-leads] input[name="lead"]');
  const rows = () => all("[data-row]");
  let last = null; // the box ticked last, where Shift begins

  const tell = () => {
    const boxes = ticks();
    const chosen = boxes.filter((box) => box.checked).length;
    const count = $("[data-chosen]");
    if (count) count.textContent = chosen ? `${chosen} ${chosen === 1 ? "lead" : "leads"} chosen` : "";
    const master = $("[data-tick-all]");
    if (master) {
      master.checked = chosen > 0 && chosen === boxes.length;
      master.indeterminate = chosen > 0 && chosen < boxes.length;
    }
  };

  const choose = (boxes, on) => {
    for (const box of boxes) box.checked = on;
    tell();
  };

  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-tick-all]")) choose(ticks(), event.target.checked);
    else if (event.target.matches('input[name="lead"]')) tell();
  });

  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-choose-none]")) {
      choose(ticks(), false);
      $(".lead-link")?.focus();
      return;
    }
    if (!event.target.matches('input[name="lead"]')) return;
    const boxes = ticks();
    const [from, to] = [boxes.indexOf(last), boxes.indexOf(event.target)].sort((a, b) => a - b);
    if (event.shiftKey && from >= 0) choose(boxes.slice(from, to + 1), event.target.checked);
    last = event.target;
  });

  const row = () => document.activeElement?.closest("[data-row]");
  const step = (by) => {
    const list = rows();
    const next = list[row() ? list.indexOf(row()) + by : 0];
    if (!next) return;
    next.querySelector(".lead-link").focus();
    next.scrollIntoView({ block: "nearest" });
  };
  const chooseHere = (on) => {
    const box = row()?.querySelector('input[name="lead"]');
    if (box) choose([box], on ?? !box.checked);
  };
  const act = (select) => {
    if (!ticks().some((box) => box.checked)) chooseHere(true);
    if (ticks().some((box) => box.checked)) $(select).focus();
  };

  const KEYS = {
    j: () => step(1),
    ArrowDown: () => step(1),
    k: () => step(-1),
    ArrowUp: () => step(-1),
    x: () => chooseHere(),
    a: () => act("#bulk-owner"),
    m: () => act("#bulk-stage"),
    "/": () => $("#leads-q").select(),
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || $("dialog[open]")) return;
    if (event.key === "Escape") {
      if ($("details[data-menu][open]") || !ticks().some((box) => box.checked)) return;
      choose(ticks(), false);
      if (document.activeElement?.closest("#chosen-bar")) $(".lead-link")?.focus();
      return;
    }
    if (event.target.matches('input:not([type="checkbox"]), select, textarea') || !$("#leads-page")) return;
    if (document.documentElement.dataset.keys === "off" || !KEYS[event.key]) return;
    if (event.key.startsWith("Arrow") && !row()) return; // arrows scroll until a row has the focus
    event.preventDefault();
    KEYS[event.key]();
  });

  // The link that takes the list away follows the filters as they are typed.
  document.addEventListener("htmx:afterSettle", () => {
    const link = $("[data-export]");
    if (link) link.search = location.search;
    tell();
  });
  tell();
})();
