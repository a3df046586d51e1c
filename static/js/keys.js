// The palette and the keyboard. Single keys are silent while somebody types, while a dialog is open, and where
// they are switched off (data-keys="off" on <html>; pages with keys of their own ask for it too).
(() => {
  const root = document.documentElement;
  const palette = document.getElementById("palette");
  const keys = document.getElementById("keys");
  if (!palette || !keys) return;

  // --- palette
  const input = palette.querySelector("input");
  const hits = () => [...palette.querySelectorAll(".go-hit")];
  const openPalette = () => {
    if (palette.open) return;
    document.querySelector("dialog[open]")?.close();
    input.value = "";
    palette.showModal();
    input.focus();
    input.dispatchEvent(new CustomEvent("palette"));
  };
  document.addEventListener("click", (event) => {
    const link = event.target.closest("[data-palette]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    link.closest("details[data-menu]")?.removeAttribute("open");
    openPalette();
  });
  palette.addEventListener("keydown", (event) => {
    const all = hits();
    const at = all.indexOf(document.activeElement);
    if (event.key === "Escape") {
      event.preventDefault(); // else the first Esc would only empty the field
      input.blur();
      palette.close();
    } else if (event.key === "ArrowDown" && all.length) {
      event.preventDefault();
      all[(at + 1) % all.length].focus();
    } else if (event.key === "ArrowUp" && at >= 0) {
      event.preventDefault();
      (all[at - 1] || input).focus();
    } else if (event.key === "Enter" && event.target === input && all.length && !isWaiting()) {
      event.preventDefault();
      all[0].click();
    } else if (at >= 0 && event.key.length === 1 && !event.ctrlKey && !event.metaKey && !event.altKey) {
      input.focus(); // typing goes on in the field
    }
  });
  // While the hits still belong to what was typed before, Enter opens the search page instead of the wrong hit.
  let shown = "";
  const isWaiting = () => input.value !== shown;
  palette.addEventListener("htmx:beforeRequest", () => (palette.dataset.asked = input.value));
  palette.addEventListener("htmx:afterSwap", () => (shown = palette.dataset.asked));

  // --- help
  const openKeys = () => {
    for (const menu of document.querySelectorAll("details[data-menu][open]")) menu.open = false;
    keys.showModal();
  };
  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-keys-help]")) openKeys();
  });
  const keysSwitch = keys.querySelector("[data-keys-switch]");
  keysSwitch.checked = root.dataset.keys !== "off";
  keysSwitch.addEventListener("change", () => {
    root.dataset.keys = keysSwitch.checked ? "on" : "off";
    try {
      localStorage.setItem("keys", root.dataset.keys);
    } catch {
      // Forgotten with the page.
    }
  });

  // --- keys
  const isTyping = (target) => target.closest("input, textarea, select, [contenteditable]") !== null;
  let begun = -Infinity; // when `g` was pressed
  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey && event.key.toLowerCase() === "k") {
      event.preventDefault();
      openPalette();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (root.dataset.keys === "off" || isTyping(event.target) || document.querySelector("dialog[open]")) return;
    const goes = event.timeStamp - begun < 1500 && document.querySelector(`[data-go="${CSS.escape(event.key)}"]`);
    begun = event.key === "g" ? event.timeStamp : -Infinity;
    if (goes) {
      event.preventDefault();
      event.stopImmediatePropagation(); // the second key of the pair is not a key of the page
      goes.click();
    } else if (event.key === "?") {
      event.preventDefault();
      openKeys();
    }
  }, true);
})();
