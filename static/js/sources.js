// Sources: copy buttons, a key that a reload does not show again, and a live tail that can be paused and keeps its place.
(() => {
  // After a key was shown, the address becomes the one of the page without it.
  const fresh = document.querySelector("[data-reload-as]");
  if (fresh) history.replaceState(null, "", fresh.dataset.reloadAs);

  const textOf = (element) => element.value ?? element.textContent;

  const select = (element) => {
    if (element.select) return element.select();
    const range = document.createRange();
    range.selectNodeContents(element);
    const selection = getSelection();
    selection.removeAllRanges();
    selection.addRange(range);
  };

  const copy = async (button) => {
    const element = document.getElementById(button.dataset.copy);
    const label = button.querySelector("[data-copy-label]");
    const before = button.dataset.before ?? label.textContent;
    button.dataset.before = before;
    try {
      await navigator.clipboard.writeText(textOf(element));
      label.textContent = "Copied";
    } catch {
      select(element); // no permission, or not over https
      label.textContent = "Press Ctrl-C";
    }
    setTimeout(() => { label.textContent = before; }, 2500);
  };

  let paused = false;

  // Buttons that do nothing without JavaScript come into view with it, also those of a tail just fetched.
  const equip = () => {
    document.querySelectorAll("[data-copy], [data-pause]").forEach((button) => { button.hidden = false; });
    const pause = document.querySelector("[data-pause]");
    if (!pause) return;
    pause.setAttribute("aria-pressed", String(paused));
    pause.querySelector("[data-pause-label]").textContent = paused ? "Paused" : "Pause";
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy]");
    if (button) copy(button);
    if (event.target.closest("[data-pause]")) {
      paused = !paused;
      equip();
    }
  });

  // A refresh must not take the ground from under the reader: hold the delivery at the top of the window where it is.
  let held = null;
  const isTail = (event) => event.detail.target?.id === "tail";

  document.addEventListener("htmx:beforeRequest", (event) => {
    if (isTail(event) && event.detail.requestConfig.verb === "get" && (paused || document.hidden)) event.preventDefault();
  });
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (!isTail(event)) return;
    const focused = document.activeElement.closest?.("#tail") ? document.activeElement : null;
    const rows = [...document.querySelectorAll(".src-delivery")];
    const row = rows.find((each) => each.getBoundingClientRect().bottom > 0);
    const atStart = document.getElementById("tail").getBoundingClientRect().top >= 0;
    held = {
      row: row && !atStart ? { id: row.id, top: row.getBoundingClientRect().top } : null,
      focus: focused && { row: focused.closest(".src-delivery")?.id, name: focused.tagName, href: focused.getAttribute("href"), pause: focused.hasAttribute("data-pause") },
    };
  });
  document.addEventListener("htmx:afterSettle", () => {
    equip();
    if (!held) return;
    const { row, focus } = held;
    held = null;
    const again = row && document.getElementById(row.id);
    if (again) window.scrollBy(0, again.getBoundingClientRect().top - row.top);
    if (!focus) return;
    const scope = document.getElementById(focus.row) ?? document.getElementById("tail");
    const target = focus.pause
      ? document.querySelector("[data-pause]")
      : [...scope.querySelectorAll(focus.name)].find((each) => each.getAttribute("href") === focus.href);
    target?.focus({ preventScroll: true });
  });

  equip();
})();
