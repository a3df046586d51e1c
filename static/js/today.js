// Today by keyboard: j k walk through the lines, a r d c u press the button of the line one stands on.
(() => {
  const page = () => document.getElementById("today");
  const rows = () => [...page().querySelectorAll("[data-row]")];
  const current = () => document.activeElement?.closest?.("[data-row]");
  const openMenu = () => page()?.querySelector("details[open]");
  let place = 0;

  const stand = (index) => {
    const all = rows();
    const row = all[Math.max(0, Math.min(index, all.length - 1))];
    (row?.querySelector(".todo-link") ?? page().querySelector("h1")).focus({ preventScroll: false });
    row?.scrollIntoView({ block: "nearest" });
  };

  const walk = (step) => {
    const here = rows().indexOf(current());
    stand(here < 0 ? 0 : here + step);
  };

  const press = (key) => {
    const row = key === "u" ? page() : (current() ?? rows().find((each) => each.querySelector(`[data-key="${key}"]`)));
    const button = row?.querySelector(`[data-key="${key}"]`);
    if (!button) return false;
    button.click();
    if (key === "r") button.closest("details").querySelector("[data-reason]").focus();
    return true;
  };

  const walkMenu = (menu, step) => {
    const reasons = [...menu.querySelectorAll("[data-reason]")];
    const next = reasons.indexOf(document.activeElement) + step;
    reasons[(next + reasons.length) % reasons.length].focus();
  };

  const steps = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 };

  document.addEventListener("keydown", (event) => {
    if (!page() || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (document.documentElement.dataset.keys === "off" || document.querySelector("dialog[open]")) return;
    if (event.target.closest("input, textarea, select, [contenteditable], .rail, .bar")) return;
    const menu = openMenu();
    if (event.key in steps) {
      event.preventDefault();
      if (menu) walkMenu(menu, steps[event.key]);
      else walk(steps[event.key]);
    } else if (!menu && "ardcu".includes(event.key) && event.key.length === 1 && press(event.key)) {
      event.preventDefault();
    }
  });

  // The lists come anew every minute, unless somebody is choosing or writing just then.
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (event.target.id !== "today") {
      place = Math.max(0, rows().indexOf(event.target.closest("[data-row]")));
      return;
    }
    if (openMenu() || event.target.querySelector("input:focus")) event.preventDefault();
  });

  // Whoever pressed a button that is gone now stands on the line that took its place.
  let stoodOn = null;
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (event.target.id !== "today") return;
    const row = current();
    stoodOn = row ? { id: row.id, acted: event.detail.requestConfig.verb !== "get" } : null;
    if (!row && event.detail.requestConfig.verb !== "get") stoodOn = { id: "", acted: true };
  });
  document.addEventListener("htmx:afterSettle", (event) => {
    if (!stoodOn || !page()) return;
    const same = stoodOn.id && document.getElementById(stoodOn.id);
    if (stoodOn.acted) stand(place);
    else if (same) same.querySelector(".todo-link").focus({ preventScroll: true });
    stoodOn = null;
  });
})();
